"""Runs one clause against one saver and keeps the smallest failing example."""

from __future__ import annotations

import time
import warnings
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import run_state_machine_as_test

from saver_conformance.capability import BASE, DECLARED
from saver_conformance.clause import Clause, Load
from saver_conformance.result import ClauseResult, Failure, Status
from saver_conformance.violation import SlowError, UnplayableError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import DataObject

    from saver_conformance.capability import Api
    from saver_conformance.profile import Profile
    from saver_conformance.session import Session
    from saver_conformance.target import Target

#: Hanging examples before a search ends: each costs a full time limit.
_MAX_HANGS = 1


@dataclass
class Search:
    """A search for an example that breaks a clause with one API.

    Attributes:
        target: Saver under test.
        clause: Clause to run.
        profile: Effort of the search.
        api: API to call.
        shrink: True to look for a smaller example after the first failure.
    """

    target: Target
    clause: Clause
    profile: Profile
    api: Api
    shrink: bool = True
    examples: int = 0
    smallest: Violation | None = None
    timed_out: int = 0
    _hangs: int = 0
    _began: float = field(default_factory=time.monotonic)
    _failed: float | None = None

    def run(self, root_seed: int) -> None:
        """Run examples until one breaks the clause or the profile's effort is spent.

        Args:
            root_seed: Seed of the whole run.
        """
        load = self.clause.load
        configured = settings(
            max_examples=self.profile.examples(load),
            stateful_step_count=self.profile.steps,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if self.shrink else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=Verbosity.quiet,
        )
        chosen = zlib.crc32(f"{root_seed}/{self.clause.id}/{self.api}".encode())

        try:
            if load is Load.MACHINE:
                machine: Any = seed(chosen)(lambda: self._machine())  # noqa: PLW0108 - it is given attributes
                run_state_machine_as_test(machine, settings=configured)
            else:
                seed(chosen)(configured(given(st.data())(self._example)))()
        # `_keep` has the smallest violation. It stands even if a race did not happen again, or if
        # time ran out during shrinking.
        except (Violation, SlowError, HypothesisException):
            if self.smallest is None and not self._is_exhausted():
                raise

    def _example(self, data: DataObject) -> None:
        if not self._is_exhausted():
            with self._session() as session:
                self.clause.body(session, data)

    def _machine(self) -> RuleBasedStateMachine:
        """Return a state machine that owns its session."""
        if self._is_exhausted():
            reject()
        stack = ExitStack()
        machine: RuleBasedStateMachine = self.clause.body(stack.enter_context(self._session()))
        machine.teardown = stack.close  # type: ignore[method-assign]
        return machine

    @contextmanager
    def _session(self) -> Iterator[Session]:
        self.examples += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with self.target.session(lambda: self.api, self._keep) as session:
                session.deadline = time.monotonic() + self.profile.example_seconds
                try:
                    yield session
                finally:
                    self.timed_out += session.slow

    def _keep(self, violation: Violation) -> None:
        self._hangs += violation.hung
        self._failed = self._failed or time.monotonic()
        if self.smallest is None or violation.size < self.smallest.size:
            self.smallest = violation

    def _is_exhausted(self) -> bool:
        now = time.monotonic()
        if self.timed_out:
            return True
        if self._failed is not None:
            return self._hangs >= _MAX_HANGS or now - self._failed > self.profile.shrink_seconds
        return now - self._began > self.profile.clause_seconds


def run_clause(
    target: Target, clause: Clause, profile: Profile, root_seed: int, *, shrink: bool = True
) -> ClauseResult:
    """Run a clause against a saver.

    Args:
        target: Probed saver.
        clause: Clause to run.
        profile: Effort of the run.
        root_seed: Seed of the whole run.
        shrink: True to look for a smaller example after the first failure.

    Returns:
        Result of the clause.
    """
    reason = target.spec.known_failures.get(clause.id)
    if missing := clause.needs - target.features.claimed:
        names = ", ".join(sorted(map(str, missing)))
        if missing <= BASE and reason is None:
            note = f"the saver does not implement {names}"
            return ClauseResult(clause, Status.NOT_RUN, note=note)
        return ClauseResult(clause, Status.NOT_CLAIMED, note=f"the saver does not claim {names}")
    if implied := target.breaks(clause.presumes):
        return ClauseResult(clause, Status.FOLLOWS, note=f"follows from {', '.join(implied)}")
    apis = [f for f in clause.apis if f in target.features.apis] or list(clause.apis[:1])
    if clause.load is Load.ONCE:
        apis = apis[:1]
    began, examples, worst = time.monotonic(), 0, None
    for api in apis:
        search = Search(target, clause, profile, api, shrink)
        try:
            search.run(root_seed)
        except UnplayableError as error:
            claimed = clause.capability in DECLARED
            status = Status.NOT_RUN if claimed else Status.NOT_CLAIMED
            return ClauseResult(clause, status, search.examples, note=str(error))
        # An error of the suite must not end the whole run.
        except Exception as error:  # noqa: BLE001
            note = f"the suite failed: {type(error).__name__}: {error}"
            return ClauseResult(clause, Status.NOT_RUN, search.examples, note=note)
        examples += search.examples
        if search.smallest is not None:
            found = search.smallest
            if not clause.unspecified:
                target.broken.add(clause.id)
            worst = Failure(found.message, found.program, str(api), found.hung)
            break
        if search.timed_out == search.examples:
            limit = f"{profile.example_seconds:g} s"
            note = f"one example takes more than {limit}; no single call hung"
            return ClauseResult(clause, Status.NOT_RUN, examples, note=note)
    return ClauseResult(
        clause,
        _verdict(clause, failed=worst is not None, known=reason is not None),
        examples,
        time.monotonic() - began,
        worst,
        reason,
    )


def _verdict(clause: Clause, *, failed: bool, known: bool) -> Status:
    if clause.unspecified:
        return Status.DIFFERS if failed else Status.HOLDS
    if known:
        return Status.KNOWN_FAILURE if failed else Status.UNEXPECTED_PASS
    return Status.FAILED if failed else Status.PASSED
