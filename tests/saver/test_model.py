"""The saver against plain dicts, over any sequence of calls, with two savers on one store."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from langgraph.checkpoint.base import get_checkpoint_metadata

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import CheckpointNotFoundError, ThreadExistsError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.model import Checkpoint, Model, Namespace
from tests.saver.same import rebuilt, same
from tests.saver.values import KINDS, changed, changes, config, fresh

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.history import ThreadInfo
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

LONG = "l" * 200
THREADS = ("a", "a\x00", LONG)
NAMESPACES = ("", "", "", "sub", "call:1", LONG + ":2")
IDS = ("1", "2", "3", "30", "4\x00", LONG, LONG + "1", LONG + "0", "zé\udc80")
RUNS = ("run1", "run2", 7, None)
FILTERS = (None, {"step": 1}, {"run_id": "run1"}, {"run_id": 7, "step": 2}, {"run_id": None})
CHANNELS = (*KINDS, "delta", "branch:to:x")
WRITTEN = (*CHANNELS, "__error__", "__interrupt__", "__resume__", "delta")

threads = st.sampled_from(("a", "a", *THREADS))
namespaces = st.sampled_from(NAMESPACES)
ids = st.sampled_from(IDS)
which = st.integers(0, 1)
states = st.dictionaries(st.sampled_from(CHANNELS), changes, min_size=1, max_size=4)
tasks = st.tuples(st.sampled_from(["t1", "t2"]), st.sampled_from(["", "~1", "~2"]))
removals = st.sampled_from(["thread", "all", "latest", "last", "last"])
writes = st.lists(st.tuples(st.sampled_from(WRITTEN), st.integers(0, 9)), max_size=4)


class Savers(RuleBasedStateMachine):
    """Two savers on one store, used by turns as two processes would, and the model of both."""

    cache_size = 1 << 26

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.counter = itertools.count(1)
        self.heads: dict[tuple[int, str, str], str] = {}
        self.seen: dict[tuple[str, str, str | None], Checkpoint] = {}
        self.savers: list[LmdbSaver] = []
        self.turn = 0

    @initialize()
    def start(self) -> None:
        """Open the savers on an empty store."""
        self.kv: KeyValueStore = MemoryStore()
        self.open()

    def open(self) -> None:
        self.savers = [self.saver(), self.saver()]

    def saver(self) -> LmdbSaver:
        return LmdbSaver.on(self.kv, **self.options())

    def options(self) -> dict[str, Any]:
        """What every saver of this machine is made with."""
        return {"cache_size": self.cache_size, "clock": lambda: Fraction(self.model.now, 1000)}

    def _value(self, thread: str, name: str, parent: str | None, channel: str, change: Any) -> Any:
        salt = next(self.counter)
        kind = channel if channel in KINDS else "messages" if salt % 2 else "text"
        found = self.seen.get((thread, name, parent))  # which may be deleted since
        if found is None or channel not in found.values:
            return fresh(kind, salt)
        return changed(kind, found.values[channel], change, salt)

    def _put(
        self,
        saver: LmdbSaver,
        place: tuple[str, str, str],
        parent: str | None,
        state: dict[str, Any],
        run: Any,
        keep: int,
    ) -> None:
        thread, name, checkpoint_id = place
        before = self.seen.get((thread, name, parent))
        versions = dict(before.versions) if before else {}
        given: dict[str, Any] = {}
        for channel, change in state.items():
            versions[channel] = next(self.counter)
            if channel != "delta" or change[1] > 6:
                given[channel] = self._value(thread, name, parent, channel, change)
        new = {channel: versions[channel] for channel in state}
        if before and keep:  # a runtime hands over what did not change as well
            given = {**before.values, **given}
        metadata: dict[str, Any] = {"source": "loop", "step": next(self.counter) % 3}
        if run is not None:
            metadata["run_id"] = run
        root = self.model.latest_root(thread) if name else None
        if root:
            metadata["parents"] = {"": root}
        where = config(thread, name, parent)
        rest = {"v": 4, "ts": "now", "versions_seen": {"n": {"c": 1}}, "updated_channels": None}
        checkpoint: Any = {
            **rest,
            "id": checkpoint_id,
            "channel_values": given,
            "channel_versions": versions,
        }
        stored = rebuilt(get_checkpoint_metadata(where, metadata))
        entry = Checkpoint(parent, dict(versions), {}, stored, rest, root)
        values = {channel: rebuilt(value) for channel, value in given.items()}
        self.model.put(thread, name, checkpoint_id, entry, values, set(new))
        self.seen[place] = entry
        found = saver.put(where, checkpoint, metadata, new)
        assert found == config(thread, name, checkpoint_id)

    @rule(
        w=which,
        thread=threads,
        name=namespaces,
        steps=st.lists(states, min_size=1, max_size=4),
        run=st.sampled_from(RUNS),
        own=st.booleans(),
    )
    def run(self, w: int, thread: str, name: str, steps: list[Any], run: Any, own: bool) -> None:
        """Supersteps: each the next id, on top of the latest checkpoint, or of the one that this
        saver stored last, whatever became of it."""
        for state in steps:
            parent = self.model.latest(thread, name)
            checkpoint_id = f"{next(self.counter):08}"
            if parent is not None and parent >= checkpoint_id:
                checkpoint_id = parent + "+"
            if own:
                parent = self.heads.get((w, thread, name), parent)
            if parent is not None and "delta" in state:
                self.write(w, thread, name, parent, ("t1", ""), [("delta", 0)], False)
            self._put(self.savers[w], (thread, name, checkpoint_id), parent, state, run, w)
            self.heads[w, thread, name] = checkpoint_id

    @rule(
        w=which,
        thread=threads,
        name=namespaces,
        checkpoint_id=ids,
        parent=ids | st.none(),
        state=states,
        run=st.sampled_from(RUNS),
    )
    def put(
        self, w: int, thread: str, name: str, checkpoint_id: str, parent: Any, state: Any, run: Any
    ) -> None:
        """Any id on top of any other: forks, replaced checkpoints, missing parents, loops."""
        self._put(self.savers[w], (thread, name, checkpoint_id), parent, state, run, 1 - w)

    @rule(
        w=which,
        thread=threads,
        name=namespaces,
        checkpoint_id=ids | st.none(),
        task=tasks,
        writes=writes,
        odd=st.booleans(),
    )
    def write(
        self, w: int, thread: str, name: str, checkpoint_id: Any, task: Any, writes: Any, odd: bool
    ) -> None:
        """Writes to the latest checkpoint, or to one that may not be there."""
        checkpoint_id = checkpoint_id or self.model.latest(thread, name) or "1"
        made = [
            (channel, self._value(thread, name, checkpoint_id, channel, ("append", at)))
            for channel, at in writes
        ]
        if odd and made:  # a write that has the payload of another
            made.append((made[0][0], made[-1][1]))
        self.model.put_writes(
            thread, name, checkpoint_id, task, [(c, rebuilt(value)) for c, value in made]
        )
        self.savers[w].put_writes(config(thread, name, checkpoint_id), made, *task)

    @rule(
        w=which,
        how=removals,
        thread=threads,
        keep=st.integers(1, 4),
    )
    def remove(self, w: int, how: str, thread: str, keep: int) -> None:
        """Delete a thread, or prune it."""
        saver = self.savers[w]
        if how == "thread":
            saver.delete_thread(thread)
        elif how == "all":
            saver.prune([thread], strategy="delete")
        elif how == "latest":
            saver.prune([thread, "none"])
        else:
            saver.prune([thread], strategy="keep_latest", keep_last=keep)
        if how in ("thread", "all"):
            self.model.delete_thread(thread)
        else:
            self.model.prune(thread, keep if how == "last" else 1)

    @rule(w=which, runs=st.lists(st.sampled_from(["run1", "run2", "7"]), max_size=2))
    def delete_for_runs(self, w: int, runs: list[str]) -> None:
        self.savers[w].delete_for_runs(runs)
        self.model.delete_for_runs(runs)

    @rule(w=which, source=threads, copied=threads)
    def copy(self, w: int, source: str, copied: str) -> None:
        if source != copied and source in self.model.threads and self.model.has_checkpoints(copied):
            with pytest.raises(ThreadExistsError):
                self.savers[w].copy_thread(source, copied)
            return
        self.savers[w].copy_thread(source, copied)
        self.model.copy_thread(source, copied)

    @rule(w=which, source=threads, checkpoint_id=ids | st.none(), forked=threads)
    def fork(self, w: int, source: str, checkpoint_id: Any, forked: str) -> None:
        """Of a checkpoint that may not be there, to a thread that may be."""
        namespace = self.model.namespace(source, "")
        wanted = checkpoint_id or self.model.latest(source, "")
        at = config(source, "", checkpoint_id)
        if namespace is None or wanted not in namespace.checkpoints:
            with pytest.raises(CheckpointNotFoundError):
                self.savers[w].fork(at, forked)
        elif self.model.has_checkpoints(forked):
            with pytest.raises(ThreadExistsError):
                self.savers[w].fork(at, forked)
        else:
            assert self.savers[w].fork(at, forked) == config(forked, "", wanted)
            self.model.fork(source, wanted, forked)

    @rule(w=which, thread=threads, name=namespaces, checkpoint_id=ids | st.none())
    def lines(self, w: int, thread: str, name: str, checkpoint_id: Any) -> None:
        """What a checkpoint came from, what came of it, and the tips of its namespace."""
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
        """Whether the line of a checkpoint has an end, and is no loop."""
        line = namespace.chain(checkpoint_id)
        return namespace.checkpoints[line[-1]].parent not in line

    @rule(w=which, prefix=st.sampled_from([None, None, "", "a", "a\x00", "l", LONG]), by=which)
    def overview(self, w: int, prefix: str | None, by: int) -> None:
        """The threads, in pages of two, and the counts of the store."""
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
            assert stats.bytes == sum(t.bytes for t in threads) or not alone

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
        """Listing, with what it may be narrowed by."""
        some = [t for t in (THREADS if thread is None else [thread]) if t in self.model.threads]
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

    @rule(w=which, thread=threads, channel=st.sampled_from(KINDS), how=removals, change=changes)
    def overtaken(self, w: int, thread: str, channel: str, how: str, change: Any) -> None:
        """What one saver goes on from, the other has replaced and removed."""
        self.run(w, thread, "", [{channel: ("append", 0)}], None, False)
        self.run(1 - w, thread, "", [{channel: ("replace", 0)}], None, False)
        self.remove(1 - w, how, thread, 1)
        self.run(w, thread, "", [{channel: change}], None, True)

    @rule()
    def reopen(self) -> None:
        self.open()

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
            if channel not in namespace.checkpoints[wanted].values:  # else nobody asks for it
                assert same(dict(histories[channel]), expected), channel

    def has_read(self, saver: LmdbSaver, thread: str) -> None:
        """A saver found something of a thread."""

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
        """The store holds what is needed and nothing else."""
        if self.savers:
            reachability.check(self.kv)
            self.turn += 1
            if self.turn % 5 == 0:
                self.compare_all()

    def compare_all(self) -> None:
        """A newcomer reads what the model has; what the two savers remember stays as it is."""
        saver = self.saver()
        try:
            for thread in THREADS:
                for name, namespace in self.model.threads.get(thread, {}).items():
                    for checkpoint_id in namespace.checkpoints:
                        self._check_get(saver, thread, name, checkpoint_id)
            assert len(list(saver.list(None))) == len(self.model.listed([*THREADS], None))
        finally:
            self.release(saver)

    def teardown(self) -> None:
        if self.savers:
            self.compare_all()

    def release(self, saver: LmdbSaver) -> None:
        """Let go of a saver, but not of the store."""


class Forgetful(Savers):
    """The same without any memory of values."""

    cache_size = 0


class OnLmdb(Savers):
    """The same on LMDB, where the store can be closed and opened again."""

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
    """LMDB without any memory of values."""

    cache_size = 0


def _id(found: Any) -> str:
    checkpoint_id: str = found.config["configurable"]["checkpoint_id"]
    return checkpoint_id


@pytest.mark.parametrize("machine", [Savers, Forgetful, OnLmdb, ForgetfulOnLmdb])
def test_a_saver_is_what_its_model_is(machine: type[Savers]) -> None:
    examples = settings().max_examples
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30)
    )
