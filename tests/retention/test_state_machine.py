"""Random sequences of calls with a TTL, compared with a model of plain dicts."""

from __future__ import annotations

import copy
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.engine import prune, sweep
from langgraph.checkpoint.lmdb.errors import ThreadNotFoundError
from langgraph.checkpoint.lmdb.operations import retention
from tests.engine import reachability
from tests.retention.stores import CountingStore, KillError, contents
from tests.saver.changes import THREADS, threads, which
from tests.saver.model import Model
from tests.saver.test_model import Savers
from tests.saver.values import config

MINUTE = 60_000
TTL = 8_000
"""Milliseconds that a float represents exactly in minutes and in seconds."""

policies = st.fixed_dictionaries(
    {
        "ttl": st.sampled_from([None, TTL, TTL, TTL]),
        "deletes": st.sampled_from([True, True, False]),
        "keep_last": st.sampled_from([None, None, 1, 2]),
        "max_age": st.sampled_from([None, None, 1_000, 20_000]),
    }
)
passing = st.sampled_from([1, 60, 99, 100, 1_000, TTL - 100, TTL - 1, TTL, TTL, 10 * TTL])
own_ttls = st.sampled_from([None, 500, 1_000, TTL, 5 * TTL])


class RetentionMachine(Savers):
    """Savers with a `ttl`, a clock that the machine advances, and sweeps that are killed."""

    max_batch, sweep_batch, purge_batch = 64, 200, 500

    @initialize(policy=policies, refresh=st.booleans())
    def start(self, policy: Any = None, refresh: bool = False) -> None:
        """Open the savers on an empty store."""
        self.policy, self.refresh = policy, refresh
        self.model = Model(**policy)
        self.now = self.model.now
        self.kv = self.store()
        self.open()

    def store(self) -> Any:
        return CountingStore()

    def options(self) -> dict[str, Any]:
        def minutes(name: str) -> float | None:
            return None if self.policy[name] is None else self.policy[name] / MINUTE

        return {
            **super().options(),
            "ttl": {
                "default_ttl": minutes("ttl"),
                "strategy": "delete" if self.policy["deletes"] else "keep_latest",
                "keep_last": self.policy["keep_last"],
                "max_history_age": minutes("max_age"),
                "refresh_on_read": self.refresh,
            },
        }

    def has_read(self, saver: LmdbSaver, thread: str) -> None:
        if self.refresh:
            self.model.read(thread)

    @rule(milliseconds=passing)
    def advance(self, milliseconds: int) -> None:
        """Advance the clock; expired threads are hidden immediately."""
        self.model.now += milliseconds
        self.model.expire()
        for thread in self.model.hidden:
            self._check_hidden(thread)

    def _check_hidden(self, thread: str) -> None:
        saver = self.savers[0]
        for name, namespace in self.model.hidden[thread].items():
            for checkpoint_id in [None, *namespace.checkpoints]:
                at = config(thread, name, checkpoint_id)
                assert saver.get_tuple(at) is None
                assert [*saver.list(at)] == [*saver.history(at)] == saver.children(at) == []
                histories = saver.get_delta_channel_history(config=at, channels=["delta"])
                assert histories == {"delta": {"writes": []}}
            assert saver.branches(thread, name) == []
        with pytest.raises(ThreadNotFoundError):
            saver.set_ttl(thread, 1)

    @rule(w=which, thread=threads, milliseconds=own_ttls)
    def set_ttl(self, w: int, thread: str, milliseconds: int | None) -> None:
        minutes = None if milliseconds is None else milliseconds / MINUTE
        if not self.model.has_checkpoints(thread):
            with pytest.raises(ThreadNotFoundError):
                self.savers[w].set_ttl(thread, minutes)
            return
        self.savers[w].set_ttl(thread, minutes)
        age = self.model.ages[thread]
        age.own, age.ttl = True, milliseconds
        self.model.expire()

    @rule(w=which, ahead=st.sampled_from([None, None, None, -TTL, 0, TTL]))
    def sweep(self, w: int, ahead: int | None) -> None:
        """Sweep without a limit; all that is due is deleted and the rest is unchanged."""
        now = self.model.now + (ahead or 0)
        given = None if ahead is None else now / 1000
        saver = self.savers[w]
        dry_run = saver.sweep(given, dry_run=True)
        before = saver.stats()
        expected = self._counts()
        for thread in [*THREADS]:
            self.model.sweep(thread, max(now, 0))
        report = saver.sweep(given)
        after = saver.stats()
        assert dry_run.dry_run
        for name in ("threads", "checkpoints", "writes", "bytes"):
            assert getattr(dry_run, name) == getattr(report, name), name
        for name in ("checkpoints", "writes", "bytes"):
            assert getattr(report, name) == getattr(before, name) - getattr(after, name), name
        changed = {t for t, counts in expected.items() if self._counts().get(t) != counts}
        assert report.threads == len(changed)
        assert (after.threads, after.checkpoints, after.writes) == self.model.totals()
        assert not reachability.tombstones(self.kv)
        assert not saver.sweep(given).threads
        self.compare_all()

    def _counts(self) -> dict[str, Any]:
        every = {**self.model.threads, **self.model.hidden}
        return {
            thread: {
                name: (sorted(n.checkpoints), sum(map(len, n.writes.values())))
                for name, n in namespaces.items()
            }
            for thread, namespaces in every.items()
        }

    @rule(w=which, limit=st.integers(0, 2))
    def sweep_some(self, w: int, limit: int) -> None:
        """Sweep with a limit; the other threads are unchanged."""
        dry_run = self.savers[w].sweep(limit=limit, dry_run=True)
        report = self.savers[w].sweep(limit=limit)
        assert report.threads <= limit
        assert (dry_run.threads, dry_run.bytes) == (report.threads, report.bytes)
        self._sweep_model()
        assert not reachability.tombstones(self.kv)

    @rule(w=which, changes=st.integers(0, 40))
    def crash(self, w: int, changes: int) -> None:
        """Kill a sweep; each thread is swept or unchanged, and the next sweep finishes the work."""
        self.kv.stop_after = changes
        try:
            self.savers[w].sweep()
        except KillError:
            pass
        finally:
            self.kv.stop_after = None
        self.reopen()
        reachability.check(self.kv)
        self._sweep_model()
        self.compare_all()
        self.sweep(w, None)

    def _sweep_model(self) -> None:
        """Sweep the threads in the model that were swept in the store."""
        stored = reachability.threads(self.kv)
        for thread in THREADS:
            trial = copy.deepcopy(self.model)
            trial.sweep(thread, self.model.now)
            found = stored.get(thread)
            if trial.counts(thread) == ((found.checkpoints, found.writes) if found else (0, 0)):
                self.model = trial

    def teardown(self) -> None:
        """Expire and sweep all threads; only the records of the store itself are left."""
        try:
            super().teardown()
            if self.savers:
                for thread in self.model.newest_threads():
                    self.savers[0].set_ttl(thread, 1)
                self.model.now += 10 * MINUTE
                self.policy = {**self.policy, "ttl": MINUTE, "deletes": True}
                saver = self.saver()
                saver.sweep()
                left = contents(self.kv)
                assert {*left} <= {b"\x00format", b"\x00next-thread", b"\x00counts"}
                stats = saver.stats()
                assert (stats.threads, stats.checkpoints, stats.writes, stats.bytes) == (0, 0, 0, 0)
                self.release(saver)
        finally:
            self.end()

    def end(self) -> None:
        """Release resources."""


class SmallBatches(RetentionMachine):
    """A machine whose sweeps use the smallest batches."""

    max_batch, sweep_batch, purge_batch = 1, 1, 2


class OnLmdb(RetentionMachine):
    """A machine with a store on LMDB."""

    def store(self) -> Any:
        self.folder = tempfile.mkdtemp()
        return None

    def saver(self) -> LmdbSaver:
        return LmdbSaver(self.folder, sync="off", map_size=1 << 22, **self.options())

    def open(self) -> None:
        for saver in self.savers:
            saver.close()
        super().open()
        self.kv = self.savers[0]._kv

    def release(self, saver: LmdbSaver) -> None:
        saver.close()

    def crash(self, w: int, changes: int) -> None:
        """Do nothing: test_processes.py kills sweeps on LMDB."""

    def end(self) -> None:
        for saver in self.savers:
            saver.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.parametrize("machine", [RetentionMachine, SmallBatches, OnLmdb])
def test_sweeps_delete_only_what_is_due(
    machine: type[RetentionMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_MAX_BATCH", machine.max_batch)
    monkeypatch.setattr(sweep, "SWEEP_BATCH", machine.sweep_batch)
    monkeypatch.setattr(prune, "PURGE_BATCH", machine.purge_batch)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=settings().max_examples, stateful_step_count=30)
    )
