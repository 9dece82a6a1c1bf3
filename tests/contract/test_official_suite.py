"""The official conformance suite of LangGraph passes, with the async and with the sync methods.

The suite reports FULL for a saver that overrides nothing, so the test asserts the result of every
capability.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.conformance.initializer import RegisteredCheckpointer
from langgraph.checkpoint.conformance.validate import validate

from langgraph.checkpoint.lmdb import LmdbSaver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
    from langgraph.checkpoint.conformance.report import CapabilityResult

# Number of tests of each capability in release 0.0.2.
TESTS_AT_LEAST = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}


class SyncFace(LmdbSaver):
    """A saver whose async methods call its sync methods."""

    async def aput(self, *args: Any) -> Any:
        return self.put(*args)

    async def aput_writes(self, *args: Any, task_path: str = "") -> None:
        self.put_writes(*args, task_path=task_path)

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:
        return self.get_tuple(config)

    async def alist(self, *args: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        for one in self.list(*args, **options):
            yield one

    async def adelete_thread(self, thread_id: str) -> None:
        self.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Any) -> None:
        self.delete_for_runs(run_ids)

    async def acopy_thread(self, *args: str) -> None:
        self.copy_thread(*args)

    async def aprune(self, thread_ids: Any, **options: Any) -> None:
        self.prune(thread_ids, **options)


@pytest.fixture(scope="module", params=[LmdbSaver, SyncFace], ids=["async", "sync"])
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, CapabilityResult]:
    """The results of the suite, by capability."""
    folder: Path = tmp_path_factory.mktemp("conformance")
    stores = iter(range(100))

    async def factory() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
        with request.param(folder / f"store-{next(stores)}", sync="off") as saver:
            yield saver

    return asyncio.run(validate(RegisteredCheckpointer("LmdbSaver", factory))).results


@pytest.mark.parametrize("capability", [capability.value for capability in Capability])
def test_capability_passes(results: dict[str, CapabilityResult], capability: str) -> None:
    """The capability is detected, and all its tests pass."""
    result = results[capability]
    assert result.detected
    assert result.failures == []
    assert result.passed is True
    assert result.tests_failed == result.tests_skipped == 0
    assert result.tests_passed >= TESTS_AT_LEAST[capability]
