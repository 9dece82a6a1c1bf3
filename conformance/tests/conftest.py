from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# Second processes import the mutants, too.
sys.path.insert(0, str(Path(__file__).parent))


_HAS_ASAP = sys.version_info >= (3, 13) and find_spec("asap") is not None
collect_ignore = [] if _HAS_ASAP else ["test_asap_stores.py"]

# A shell ignores SIGINT in background processes; a test sends one.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
