"""Tests of key-value stores, on an encrypted store."""

from tests.kv.test_store import *  # noqa: F403
