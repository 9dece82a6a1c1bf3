"""Commits of a migration: our savers store a checkpoint and its pending writes in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from langgraph.checkpoint.lmdb.migrate import migrate
from tests.migrate.test_values import put

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 4


def fill(saver: Any) -> list[Any]:
    """Store checkpoints with pending writes; return their configs."""
    configs, parent = [], None
    for number in range(1, COUNT + 1):
        config = put(saver, {"a": [*range(number)]}, number, parent)
        saver.put_writes(config, [("a", number), ("__interrupt__", "why")], "one", "~1")
        saver.put_writes(config, [("a", -number)], "two", "~2")
        parent = config["configurable"]["checkpoint_id"]
        configs.append(config)
    return configs


@pytest.mark.parametrize("kind", ["lmdb", "compact"])
def test_a_checkpoint_and_its_writes_share_a_commit(
    kind: str, open_kind: Callable[..., Any]
) -> None:
    source, target = open_kind("sqlite"), open_kind(kind)
    fill(source)
    kv = type(target._session.kv)
    with mock.patch.object(kv, "write", autospec=True, side_effect=kv.write) as write:
        assert migrate(source, target).ok
    assert write.call_count == COUNT


def test_a_checkpoint_that_the_target_lacks_is_not_read_from_it(
    open_kind: Callable[..., Any],
) -> None:
    source, target = open_kind("sqlite"), open_kind("plain")
    fill(source)
    with mock.patch.object(target, "get_tuple", wraps=target.get_tuple) as get:
        migrate(source, target, verify=False)
        first = get.call_count
        migrate(source, target, verify=False)
    assert first <= 1  # the latest checkpoint of the thread
    assert get.call_count >= first + COUNT


@pytest.mark.parametrize("kind", ["lmdb", "sqlite", "postgres", "memory", "plain"])
@pytest.mark.parametrize("calls", range(4))
def test_missing_writes_of_a_stored_checkpoint_are_copied(
    kind: str, calls: int, open_kind: Callable[..., Any]
) -> None:
    """The first migration ends after a checkpoint, before its writes or between them."""
    source, target = open_kind("sqlite"), open_kind(kind)
    configs = fill(source)
    put_writes, numbers = target.put_writes, iter(range(calls))

    def put_or_die(*arguments: Any) -> Any:
        if next(numbers, None) is None:
            raise KeyboardInterrupt
        return put_writes(*arguments)

    if kind == "lmdb":  # where one commit stores both, this is the state after two
        put(target, {"a": [0]})
        for task_id, value in [("one", 1), ("two", -1)][:calls]:
            put_writes(configs[0], [("a", value)], task_id, "~1" if value > 0 else "~2")
    else:
        with (
            mock.patch.object(target, "put_writes", put_or_die),
            pytest.raises(KeyboardInterrupt),
        ):
            migrate(source, target, workers=1)
    assert migrate(source, target).ok
    for config in configs:
        expected = source.get_tuple(config).pending_writes
        assert target.get_tuple(config).pending_writes == expected
    assert migrate(source, target).copied_writes == 0
