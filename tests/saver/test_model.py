"""Random calls on two savers of one store, compared with a model of plain dicts."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.engine import reachability
from tests.saver.changes import (
    CHANNELS,
    FILTERS,
    LONG,
    Changes,
    ids,
    namespaces,
    threads,
    which,
)
from tests.saver.model import Namespace
from tests.saver.same import same
from tests.saver.values import config

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.operations.threads import ThreadInfo


class Savers(Changes):
    """A machine that checks that every read equals the model, and that the store has no garbage."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    @rule(w=which, thread=threads, name=namespaces, checkpoint_id=ids | st.none())
    def lines(self, w: int, thread: str, name: str, checkpoint_id: Any) -> None:
        """Compare the history and children of a checkpoint, and the branches of its namespace."""
        saver = self.savers[w]
        namespace = self.model.namespace(thread, name) or Namespace()
        wanted = checkpoint_id or self.model.latest(thread, name)
        line = [*saver.history(config(thread, name, checkpoint_id))]
        assert [_id(one) for one in line] == namespace.chain(wanted)
        children = saver.children(config(thread, name, checkpoint_id))
        there = wanted in namespace.checkpoints
        assert [_id(one) for one in children] == (namespace.children(wanted) if there else [])
        for one in [*line, *children]:
            self._compare(one, thread, name, _id(one))
        tips = saver.branches(thread, name)
        if all(self._ends(namespace, one) for one in namespace.checkpoints):
            assert tips == namespace.branches()

    def _ends(self, namespace: Namespace, checkpoint_id: str) -> bool:
        """Return True if the ancestors of a checkpoint contain no loop."""
        line = namespace.chain(checkpoint_id)
        return namespace.checkpoints[line[-1]].parent not in line

    @rule(w=which, prefix=st.sampled_from([None, None, "", "a", "a\x00", "l", LONG]), by=which)
    def overview(self, w: int, prefix: str | None, by: int) -> None:
        """Compare the threads, in pages of two, and the counts of the store."""
        saver = self.savers[w]
        expected = [t for t in self.model.newest_threads() if t.startswith(prefix or "")]
        found: list[ThreadInfo] = []
        while page := saver.threads(
            prefix, limit=2, after=(found[-1] if by else found[-1].thread_id) if found else None
        ):
            found += page
            assert len(found) <= len(expected)
        assert [info.thread_id for info in found] == expected
        assert found == saver.threads(prefix)
        for info in found:
            self._compare_info(info)
        stats = saver.stats()
        assert (stats.threads, stats.checkpoints, stats.writes) == self.model.totals()
        if not self.model.hidden:
            threads = saver.threads()
            alone = not any(map(self._has_writes_only, self.model.threads))
            assert stats.bytes <= sum(t.bytes for t in threads) or not alone

    def _has_writes_only(self, thread: str) -> bool:
        return not self.model.has_checkpoints(thread)

    def _compare_info(self, info: ThreadInfo) -> None:
        thread = info.thread_id
        namespaces, age = self.model.threads[thread], self.model.ages[thread]
        expires = self.model.expires(thread)
        times = [info.created, info.updated, *([info.expires] if info.expires else [])]
        expected = [age.created, age.updated, *([] if expires is None else [expires])]
        assert [round(time.timestamp() * 1000) for time in times] == expected
        assert len(info.namespaces) == len({*info.namespaces})
        assert {*info.namespaces} == {"", *namespaces}
        assert info.checkpoints == sum(len(n.checkpoints) for n in namespaces.values())
        assert info.writes == sum(len(r) for n in namespaces.values() for r in n.writes.values())
        assert info.bytes > 0
        latest = self.model.latest(thread, "")
        metadata = namespaces[""].checkpoints[latest].metadata if latest is not None else {}
        assert (info.step, info.source) == (metadata.get("step"), metadata.get("source"))

    @rule(
        w=which,
        thread=threads | st.none(),
        name=st.none() | namespaces,
        before=st.none() | ids,
        limit=st.none() | st.integers(0, 3),
        where=st.sampled_from([*FILTERS, {"run_id": "7"}, {"none": None}]),
        spoil=st.booleans(),
    )
    def read(
        self, w: int, thread: Any, name: Any, before: Any, limit: Any, where: Any, spoil: bool
    ) -> None:
        """Compare `list` with any of its arguments."""
        some = [*self.model.threads] if thread is None else [thread]
        some = [t for t in some if t in self.model.threads]
        expected = [
            row
            for row in self.model.listed(some, None if thread is None else name)
            if (before is None or row[0] < before)
            and all(
                self.model.threads[row[1]][row[2]].checkpoints[row[0]].metadata.get(k) == v
                for k, v in (where or {}).items()
            )
        ]
        found = list(
            self.savers[w].list(
                None if thread is None else config(thread, name),
                filter=where,
                before=None if before is None else config("any", "", before),
                limit=limit,
            )
        )
        rows = []
        for one in found:
            at = one.config["configurable"]
            rows.append((at["checkpoint_id"], at["thread_id"], at["checkpoint_ns"]))
            self._compare(one, at["thread_id"], at["checkpoint_ns"], at["checkpoint_id"])
            if spoil:
                one.checkpoint["channel_values"].clear()
                one.metadata.clear()
        assert [row[0] for row in rows] == [row[0] for row in expected][:limit]
        assert set(rows) <= set(expected)
        assert len(set(rows)) == len(rows)

    @rule(w=which, thread=threads, name=namespaces, checkpoint_id=ids | st.none())
    def get(self, w: int, thread: str, name: str, checkpoint_id: str | None) -> None:
        self._check_get(self.savers[w], thread, name, checkpoint_id)

    def _check_get(self, saver: LmdbSaver, thread: str, name: str, checkpoint_id: Any) -> None:
        found = saver.get_tuple(config(thread, name, checkpoint_id))
        wanted = checkpoint_id or self.model.latest(thread, name)
        namespace = self.model.namespace(thread, name)
        if namespace is None or wanted not in namespace.checkpoints:
            assert found is None
            return
        assert found is not None
        self.has_read(saver, thread)
        self._compare(found, thread, name, wanted)
        histories = saver.get_delta_channel_history(
            config=config(thread, name, checkpoint_id), channels=[*CHANNELS, "none"]
        )
        for channel in CHANNELS:
            before, seed = namespace.history(wanted, channel)
            expected = {"writes": before, **({"seed": seed[0]} if seed else {})}
            if (
                channel not in namespace.checkpoints[wanted].values
            ):  # otherwise `threads` is not called
                assert same(dict(histories[channel]), expected), channel

    def has_read(self, saver: LmdbSaver, thread: str) -> None:
        """Note that a saver has read the thread."""

    def _compare(self, found: Any, thread: str, name: str, checkpoint_id: str) -> None:
        namespace = self.model.threads[thread][name]
        entry = namespace.checkpoints[checkpoint_id]
        assert found.config == config(thread, name, checkpoint_id)
        parent = None if entry.parent is None else config(thread, name, entry.parent)
        assert found.parent_config == parent
        assert same(found.metadata, entry.metadata)
        checkpoint = dict(found.checkpoint)
        values = checkpoint.pop("channel_values")
        assert {*values} == {*entry.values}
        for channel, value in entry.values.items():
            assert same(values[channel], value), channel
        assert checkpoint.pop("channel_versions") == entry.versions
        assert checkpoint.pop("id") == checkpoint_id
        assert same(checkpoint, entry.rest)
        assert same(found.pending_writes, namespace.pending(checkpoint_id))

    @invariant()
    def holds(self) -> None:
        """Check that the store has no garbage and no dangling references."""
        if self.savers:
            reachability.check(self.kv)
            self.turn += 1
            if self.turn % 5 == 0:
                self.compare_all()

    def compare_all(self) -> None:
        """Compare all reads of a new saver with the model. The two savers keep their caches."""
        saver = self.saver()
        try:
            for thread in [*self.model.threads]:
                for name, namespace in self.model.threads.get(thread, {}).items():
                    for checkpoint_id in namespace.checkpoints:
                        self._check_get(saver, thread, name, checkpoint_id)
            listed = self.model.listed([*self.model.threads], None)
            assert len(list(saver.list(None))) == len(listed)
        finally:
            self.release(saver)

    def teardown(self) -> None:
        if self.savers:
            self.compare_all()

    def release(self, saver: LmdbSaver) -> None:
        """Drop a saver, but keep the store open."""


class Forgetful(Savers):
    """A machine whose savers have no cache of values."""

    cache_size = 0


class OnLmdb(Savers):
    """A machine on LMDB, where the store can be closed and opened again."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.open()

    def saver(self) -> LmdbSaver:
        return LmdbSaver(self.folder, sync="off", map_size=1 << 22, **self.options())

    def open(self) -> None:
        for saver in self.savers:
            saver.close()
        super().open()
        self.kv = self.savers[0]._kv

    def release(self, saver: LmdbSaver) -> None:
        saver.close()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            for saver in self.savers:
                saver.close()
            shutil.rmtree(self.folder)


class ForgetfulOnLmdb(OnLmdb):
    """A machine on LMDB whose savers have no cache of values."""

    cache_size = 0


def _id(found: Any) -> str:
    checkpoint_id: str = found.config["configurable"]["checkpoint_id"]
    return checkpoint_id


@pytest.mark.parametrize("machine", [Savers, Forgetful, OnLmdb, ForgetfulOnLmdb])
def test_saver_equals_its_model(machine: type[Savers]) -> None:
    examples = settings().max_examples
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30)
    )
