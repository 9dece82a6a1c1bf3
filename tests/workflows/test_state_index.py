"""The index of run states equals the states of all threads, after random sequences of calls."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

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
from langgraph.types import Interrupt, Send
from xxhash import xxh3_128_hexdigest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.engine import states
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from langgraph.checkpoint.lmdb.run_state import STATES, pending_tasks, run_state
from tests.engine import reachability
from tests.verification.damage import flipped

NULL = "00000000-0000-0000-0000-000000000000"
IDS = [str(UUID(int=(n << 80) + (6 << 76))) for n in range(1, 6)]
OTHER_TASK = str(UUID(int=77))
TTL_MINUTES = 10
INDEXED = [state for state in STATES if state not in ("running", "complete")]

threads = st.sampled_from(["a", "b", "ab"])
namespaces = st.sampled_from(["", "", "", "sub:1"])
ids = st.sampled_from([*IDS * 3, "zz", "0001"])
versions = st.integers(1, 3)
sends = st.builds(Send, st.sampled_from("ab"), st.integers(0, 9))
values = st.fixed_dictionaries(
    {},
    optional={
        "__start__": st.just({"x": 1}),
        "branch:to:a": st.none(),
        "branch:to:b": st.sampled_from([None, (None, True), (None, False)]),
        "join:a+b:c": st.sets(st.sampled_from("ab")),
        "__pregel_tasks": st.lists(sends, max_size=2),
        "x": st.integers(0, 3),
    },
)  # fmt: skip
seen = st.dictionaries(
    st.sampled_from(["a", "b", "c", "__start__", "__input__"]),
    st.dictionaries(st.sampled_from(["branch:to:a", "join:a+b:c", "__start__"]), versions),
)
answers = st.integers(0, 1)
writes = st.sampled_from(
    [
        "output", "output", "output", "call", "error", "handled", "interrupt", "interrupt",
        "answer", "goto", "send",
    ]
)  # fmt: skip


class StateIndexMachine(RuleBasedStateMachine):
    """A store in memory with runs in every state."""

    @initialize(
        most_tasks=st.sampled_from([0, 1, states.MAX_TASKS]),
        most_bytes=st.sampled_from([50, states.MAX_BYTES, states.MAX_BYTES]),
    )
    def start(self, most_tasks: int, most_bytes: int) -> None:
        """Open the saver; low limits leave states of some checkpoints unsettled."""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(states, "MAX_TASKS", most_tasks)
        self.patch.setattr(states, "MAX_BYTES", most_bytes)
        self.now = 1_750_000_000.0
        self.kv = MemoryStore()
        self.open()

    def open(self) -> None:
        self.saver = KvSaver(
            self.kv, clock=lambda: self.now, ttl={"default_ttl": TTL_MINUTES, "keep_last": 3}
        )

    @rule(
        thread=threads, name=namespaces, checkpoint_id=ids, parent=st.none() | ids, given=values,
        missing=st.sets(st.sampled_from(["branch:to:a", "__pregel_tasks", "x"])),
        seen=seen, version=versions, v=st.sampled_from([4, 4, 4, 3]), run=st.integers(0, 2),
    )  # fmt: skip
    def put(
        self, thread: str, name: str, checkpoint_id: str, parent: str | None, given: dict[str, Any],
        missing: set[str], seen: dict[str, Any], version: int, v: int, run: int,
    ) -> None:  # fmt: skip
        """Store a checkpoint: the latest of its thread, an older one, or one again."""
        channels = dict.fromkeys([*given, *missing], version)
        checkpoint: Any = {
            "v": v,
            "id": checkpoint_id,
            "ts": "2026-01-01T00:00:00+00:00",
            "channel_values": given,
            "channel_versions": channels,
            "versions_seen": seen,
            "updated_channels": None,
        }
        new = {channel: version for channel in given if channel not in missing}
        metadata: Any = {"source": "loop", "step": run, "run_id": f"run-{run}"}
        self.saver.put(at(thread, name, parent), checkpoint, metadata, new)

    @rule(
        thread=threads, name=namespaces, checkpoint_id=ids, which=st.integers(0, 4),
        kinds=st.lists(writes, min_size=1, max_size=2), answer=answers,
    )  # fmt: skip
    def put_writes(
        self, thread: str, name: str, checkpoint_id: str, which: int, kinds: list[str], answer: int
    ) -> None:
        self._put_writes(thread, name, checkpoint_id, which, kinds, answer)

    @rule(
        thread=threads, which=st.integers(0, 4), answer=answers,
        kinds=st.lists(writes, min_size=1, max_size=2),
    )  # fmt: skip
    def put_writes_of_latest(self, thread: str, which: int, kinds: list[str], answer: int) -> None:
        found = self.saver.get_tuple(at(thread))
        if found is not None:
            self._put_writes(thread, "", found.checkpoint["id"], which, kinds, answer)

    def _put_writes(
        self, thread: str, name: str, checkpoint_id: str, which: int, kinds: list[str], answer: int
    ) -> None:
        task_name, task_id = self._task(thread, name, checkpoint_id, which)
        asked = Interrupt("?", id=xxh3_128_hexdigest(f"{task_name}:{task_id}".encode()))
        rows: dict[str, tuple[str, Any]] = {
            "output": ("x", 1),
            "call": ("__return__", 1),
            "error": ("__error__", "failed"),
            "handled": ("__error_source_node__", task_name),
            "interrupt": ("__interrupt__", [asked]),
            "answer": ("__resume__", answer if task_id == NULL else [answer]),
            "goto": ("branch:to:a", None),
            "send": ("__pregel_tasks", Send("a", 1)),
        }
        config = at(thread, name, checkpoint_id)
        self.saver.put_writes(config, [rows[kind] for kind in kinds], task_id)

    def _task(self, thread: str, name: str, checkpoint_id: str, which: int) -> tuple[str, str]:
        """Return the name and id of a task: one that follows the checkpoint, or another."""
        found = self.saver.get_tuple(at(thread, name, checkpoint_id))
        known = [("input", NULL), ("other", OTHER_TASK)]
        if found is not None:
            with suppress(ValueError, LookupError, TypeError):
                step = found.metadata.get("step")
                known = [*pending_tasks(found.checkpoint, step), *known]
        return known[which % len(known)]

    @rule(thread=threads, keep=st.integers(1, 2))
    def prune(self, thread: str, keep: int) -> None:
        self.saver.prune([thread], keep_last=keep)

    @rule(thread=threads)
    def delete_thread(self, thread: str) -> None:
        self.saver.delete_thread(thread)

    @rule(runs=st.sets(st.integers(0, 2), min_size=1))
    def delete_for_runs(self, runs: set[int]) -> None:
        self.saver.delete_for_runs([f"run-{run}" for run in runs])

    @rule(source=threads, copy=threads)
    def copy_thread(self, source: str, copy: str) -> None:
        with suppress(LmdbSaverError):  # the target exists
            self.saver.copy_thread(source, copy)

    @rule(source=threads, copy=threads, checkpoint_id=st.none() | ids)
    def fork(self, source: str, copy: str, checkpoint_id: str | None) -> None:
        with suppress(LmdbSaverError):  # the target exists, or the source does not
            self.saver.fork(at(source, "", checkpoint_id), copy)

    @rule(seconds=st.sampled_from([1, 70, 400, TTL_MINUTES * 60]))
    def advance(self, seconds: int) -> None:
        self.now += seconds

    @rule(thread=threads, minutes=st.none() | st.sampled_from([1, 60]))
    def set_ttl(self, thread: str, minutes: int | None) -> None:
        with suppress(LmdbSaverError):  # the thread does not exist
            self.saver.set_ttl(thread, minutes)

    @rule()
    def sweep(self) -> None:
        self.saver.sweep()

    @rule(seed=st.integers(0, 1000), letter=st.sampled_from("ttewc"))
    def damage_and_repair(self, seed: int, letter: str) -> None:
        """Damage a record or an index entry, and repair the store."""
        random = Random(seed)
        with self.kv.read() as reader:
            records = dict(reader.range(b"\x01", b"\xff"))
        candidates = sorted(
            key for key in records if key[:1] == letter.encode() or key[2:3] == letter.encode()
        )
        if not candidates:
            return
        key = random.choice(candidates)

        def damage(writer: Any) -> None:
            if records[key]:
                writer.put(key, flipped(records[key], random))
            else:
                writer.delete(key)
                writer.put(key[:-1] + bytes([key[-1] ^ 1]), b"")

        self.kv.write(damage)
        assert not self.saver.verify().ok
        assert self.saver.verify(repair=True).ok
        self.open()  # without what the caches hold of the damaged thread

    @rule()
    def reopen(self) -> None:
        self.open()

    @invariant()
    def index_equals_states(self) -> None:
        every = self.saver.threads()
        for info in every:
            found = self.saver.get_tuple(at(info.thread_id))
            if found is None:
                assert (info.state, info.next) == (None, ())
                continue
            step, pending = found.metadata.get("step"), found.pending_writes or ()
            expected = run_state(found.checkpoint, step, pending)
            assert (info.state, info.next) == (expected.state, expected.next)
        assert [info.state for info in self.saver.threads(details=False)] == [
            info.state for info in every
        ]
        for state in (*INDEXED, "complete"):
            listed = [info for info in every if info.state == state]
            assert self.saver.threads(state=state) == listed
            with_prefix = [info for info in listed if info.thread_id.startswith("a")]
            assert self.saver.threads("a", state=[state]) == with_prefix
        self._check_windows()
        reachability.check(self.kv)
        report = self.saver.verify()
        assert report.ok, report.problems

    def _check_windows(self) -> None:
        every = self.saver.threads(state=INDEXED)
        assert every == [info for info in self.saver.threads() if info.state in INDEXED]
        for n, info in enumerate(every):
            assert self.saver.threads(state=INDEXED, limit=n) == every[:n]
            assert self.saver.threads(state=INDEXED, after=info) == every[n + 1 :]
            later = [other for other in every if other.updated > info.updated]
            assert self.saver.threads(state=INDEXED, updated_after=info.updated) == later
            until = info.updated + timedelta(milliseconds=1)
            earlier = [other for other in every if other.updated < until]
            assert self.saver.threads(state=INDEXED, updated_before=until) == earlier

    def teardown(self) -> None:
        self.patch.undo()


def at(thread: str, name: str = "", checkpoint_id: str | None = None) -> Any:
    """Return the config of a checkpoint, or of the latest of a namespace."""
    found = {"thread_id": thread, "checkpoint_ns": name}
    if checkpoint_id is not None:
        found["checkpoint_id"] = checkpoint_id
    return {"configurable": found}


def test_index_equals_states() -> None:
    run_state_machine_as_test(StateIndexMachine, settings=settings(stateful_step_count=25))


@pytest.mark.long
def test_index_equals_states_after_many_calls() -> None:
    run_state_machine_as_test(StateIndexMachine, settings=settings(stateful_step_count=60))
