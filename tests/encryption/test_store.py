"""An encrypted store does what every key-value store does: their tests, on this one."""

from tests.kv.test_store import *  # noqa: F403
