"""Random sequences of changes, on two savers and on their model."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from langgraph.checkpoint.base import get_checkpoint_metadata

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import CheckpointNotFoundError, ThreadExistsError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.model import Checkpoint, Model
from tests.saver.same import rebuilt
from tests.saver.values import KINDS, changed, changes, config, fresh

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

LONG = "l" * 200
THREADS = ("a", "a\x00", LONG)
NAMESPACES = ("", "", "", "sub", "call:1", LONG + ":2")
IDS = ("1", "2", "3", "30", "4\x00", LONG, LONG + "1", LONG + "0", "zé\udc80")
RUNS = ("first-run", "second-run", 7, None)
FILTERS = (None, {"step": 1}, {"run_id": "first-run"}, {"run_id": 7, "step": 2}, {"run_id": None})
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


class Changes(RuleBasedStateMachine):
    """A machine with two savers on one store, used in turn like two processes, and their model."""

    cache_size = 1 << 26

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.counter = itertools.count(1)
        self.heads: dict[tuple[int, str, str], str] = {}
        self.seen: dict[tuple[str, str, str | None], Checkpoint] = {}
        self.savers: list[LmdbSaver] = []

    @initialize()
    def start(self) -> None:
        """Open the savers on an empty store."""
        self.kv: KeyValueStore = MemoryStore()
        self.open()

    def open(self) -> None:
        self.savers = [self.saver(), self.saver()]

    def saver(self) -> LmdbSaver:
        return KvSaver(self.kv, **self.options())

    def options(self) -> dict[str, Any]:
        """Return the options of every saver of this machine."""
        return {"cache_size": self.cache_size, "clock": lambda: Fraction(self.model.now, 1000)}

    def _value(self, thread: str, name: str, parent: str | None, channel: str, change: Any) -> Any:
        salt = next(self.counter)
        kind = channel if channel in KINDS else "messages" if salt % 2 else "text"
        found = self.seen.get((thread, name, parent))  # which may be deleted
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
        thread, name, _ = place
        before = self.seen.get((thread, name, parent))
        versions = dict(before.versions) if before else {}
        given: dict[str, Any] = {}
        for channel, change in state.items():
            versions[channel] = versions.get(channel, 0) + 1  # shared by branches
            if channel != "delta" or change[1] > 6:
                given[channel] = self._value(thread, name, parent, channel, change)
        new = {channel: versions[channel] for channel in state}
        if before and keep:  # a runtime passes unchanged values too
            given = {**before.values, **given}
        self._store(saver, place, parent, given, versions, new, run)

    def _store(
        self,
        saver: LmdbSaver,
        place: tuple[str, str, str],
        parent: str | None,
        given: dict[str, Any],
        versions: dict[str, Any],
        new: dict[str, Any],
        run: Any,
    ) -> None:
        thread, name, checkpoint_id = place
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
        """Put checkpoints with ascending ids. The parent is the latest one, or the last that this
        saver put.
        """
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
        """Put any id as a child of any id: forks, replaced checkpoints, missing parents, loops."""
        self._put(self.savers[w], (thread, name, checkpoint_id), parent, state, run, 1 - w)

    @rule(
        w=which,
        thread=threads,
        name=namespaces,
        source=ids | st.none(),
        checkpoint_id=ids,
        parent=ids | st.none(),
        state=st.just({}) | states,
    )
    def put_copy(
        self,
        w: int,
        thread: str,
        name: str,
        source: Any,
        checkpoint_id: str,
        parent: Any,
        state: dict[str, Any],
    ) -> None:
        """Put a checkpoint again with any parent, and with changes under equal versions."""
        source = source or self.model.latest(thread, name)
        found = self.seen.get((thread, name, source))
        if found is None:
            return
        given = dict(found.values)
        for channel, change in state.items():
            if channel in found.versions:
                given[channel] = self._value(thread, name, source, channel, change)
        place = thread, name, checkpoint_id
        self._store(self.savers[w], place, parent, given, dict(found.versions), {}, None)

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
        """Put writes of the latest checkpoint, or of one that may be missing."""
        checkpoint_id = checkpoint_id or self.model.latest(thread, name) or "1"
        made = [
            (channel, self._value(thread, name, checkpoint_id, channel, ("append", at)))
            for channel, at in writes
        ]
        if odd and made:  # a write with the payload of another
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

    @rule(w=which, runs=st.lists(st.sampled_from(["first-run", "second-run", "7"]), max_size=2))
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
        """Fork a checkpoint that may be missing, to a thread that may exist."""
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

    @rule(w=which, thread=threads, channel=st.sampled_from(KINDS), how=removals, change=changes)
    def overtaken(self, w: int, thread: str, channel: str, how: str, change: Any) -> None:
        """Put a child of a checkpoint that the other saver has replaced and deleted."""
        self.run(w, thread, "", [{channel: ("append", 0)}], None, False)
        self.run(1 - w, thread, "", [{channel: ("replace", 0)}], None, False)
        self.remove(1 - w, how, thread, 1)
        self.run(w, thread, "", [{channel: change}], None, True)

    @rule()
    def reopen(self) -> None:
        self.open()
