"""Runs one clause against one saver and keeps the smallest failing example."""

from __future__ import annotations

import copy
import time
import warnings
import zlib
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import run_state_machine_as_test

from saver_conformance.capability import BASE, DECLARED
from saver_conformance.clause import Clause, Load
from saver_conformance.result import ClauseResult, Failure, Status
from saver_conformance.violation import FailureKind, SlowError, UnplayableError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import DataObject

    from saver_conformance.capability import Api
    from saver_conformance.profile import Profile
    from saver_conformance.session import Session
    from saver_conformance.spec import KnownFailure
    from saver_conformance.target import Target

#: Hanging examples before a search ends: each costs a full time limit.
_MAX_HANGS = 1

#: Factor of the time limits in clauses with hundreds of checkpoints or large values.
_SCALE_PATIENCE = 4


class PreparedData:
    """A replacement of Hypothesis's data object that returns prepared values.

    Args:
        values: Values of the draws, in order.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = list(values)

    def draw(self, strategy: object) -> Any:  # noqa: ARG002 - the values are prepared
        """Return the next value.

        Args:
            strategy: Strategy of a random draw; ignored.

        Raises:
            ValueError: If the case has too few values.
        """
        if not self._values:
            raise ValueError("a boundary case has too few values")
        return copy.deepcopy(self._values.pop(0))

    def check_consumed(self) -> None:
        """Check that every value was drawn.

        Raises:
            ValueError: If the case has too many values.
        """
        if self._values:
            raise ValueError(f"a boundary case has unused values: {self._values}")


@dataclass
class Search:
    """A search for an example that breaks a clause with one API.

    Attributes:
        target: Saver under test.
        clause: Clause to run.
        profile: Effort of the search.
        api: API to call.
        shrink: True to look for a smaller example after the first failure.
        examples: Number of examples that were started.
        smallest: Smallest violation, or None.
        timed_out: Number of examples that took too long.
        cut_short: True if time ran out before the last example.
    """

    target: Target
    clause: Clause
    profile: Profile
    api: Api
    shrink: bool = True
    examples: int = 0
    smallest: Violation | None = None
    timed_out: int = 0
    cut_short: bool = False
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
        self._run_cases()
        if self.smallest is not None and not self.shrink:
            return
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

    def _run_cases(self) -> None:
        """Run the boundary cases until one breaks the clause, even if time is up."""
        for case in self.clause.cases:
            if self.smallest is not None or self.timed_out:
                return
            data = PreparedData(case)
            with suppress(Violation, SlowError):
                with self._session() as session:
                    self.clause.body(session, data)
                data.check_consumed()

    def _example(self, data: DataObject) -> None:
        if self._is_exhausted():
            self.cut_short = True
            return
        with self._session() as session:
            self.clause.body(session, data)

    def _machine(self) -> RuleBasedStateMachine:
        """Return a state machine that owns its session."""
        if self._is_exhausted():
            self.cut_short = True
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
                patience = _SCALE_PATIENCE if self.clause.load is Load.SCALE else 1
                session.deadline = time.monotonic() + self.profile.example_seconds * patience
                try:
                    with session.limit(session.executors.seconds * patience):
                        yield session
                finally:
                    self.timed_out += session.slow

    def _keep(self, violation: Violation) -> None:
        self._hangs += violation.kind is FailureKind.HUNG
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

    @property
    def is_thin(self) -> bool:
        """True if time ran out before the minimum number of examples."""
        completed = self.examples - self.timed_out
        cut_short = self.cut_short or self.timed_out > 0
        return cut_short and completed < self.profile.minimum(self.clause.load)


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
    known = target.spec.known(clause.id)
    if missing := clause.needs - target.features.claimed:
        names = ", ".join(sorted(map(str, missing)))
        if missing <= BASE and not known:
            note = f"the saver does not implement {names}"
            return ClauseResult(clause, Status.NOT_RUN, note=note)
        return ClauseResult(clause, Status.NOT_CLAIMED, note=f"the saver does not claim {names}")
    if implied := target.breaks(clause.presumes):
        return ClauseResult(clause, Status.FOLLOWS, note=f"follows from {', '.join(implied)}")
    apis = [api for api in clause.apis if api in target.features.apis] or list(clause.apis[:1])
    if clause.load is Load.ONCE:
        apis = apis[:1]
    began, examples = time.monotonic(), 0
    failures: list[Failure] = []
    obstacle: tuple[Status, str] | None = None
    thin: list[str] = []
    for api in apis:
        search = Search(target, clause, profile, api, shrink)
        obstacle = _run_search(search, root_seed) or obstacle
        examples += search.examples
        if search.is_thin:
            thin.append(f"{search.examples} with the {api} API")
        if search.smallest is not None:
            found = search.smallest
            failures.append(Failure(found.message, found.program, str(api), found.kind))
    if failures and not clause.unspecified:
        target.broken.add(clause.id)
    if obstacle is not None and not failures:
        status, note = obstacle
        return ClauseResult(clause, status, examples, note=note)
    status, ordered, reason = _judge(clause, failures, known, apis)
    if thin and status in (Status.PASSED, Status.HOLDS):
        status = Status.THIN
        minimum = profile.minimum(clause.load)
        reason = f"too few examples before time ran out: {', '.join(thin)}, minimum {minimum}"
    seconds = time.monotonic() - began
    return ClauseResult(clause, status, examples, seconds, tuple(ordered), reason)


def _run_search(search: Search, root_seed: int) -> tuple[Status, str] | None:
    """Run a search, and return the status and the reason if the clause could not run."""
    try:
        search.run(root_seed)
    except UnplayableError as error:
        declared = search.clause.capability in DECLARED
        return Status.NOT_RUN if declared else Status.NOT_CLAIMED, str(error)
    # An error of the suite must not end the whole run.
    except Exception as error:  # noqa: BLE001
        return Status.NOT_RUN, f"the suite failed: {type(error).__name__}: {error}"
    if search.smallest is None and search.timed_out == search.examples:
        limit = f"{search.profile.example_seconds:g} s"
        return Status.NOT_RUN, f"one example takes more than {limit}; no single call hung"
    return None


def _judge(
    clause: Clause, failures: list[Failure], known: Sequence[KnownFailure], apis: Sequence[Api]
) -> tuple[Status, list[Failure], str | None]:
    """Return the status, the failures with unexpected ones first, and a note."""
    reason = "; ".join(dict.fromkeys(k.reason for k in known)) or None
    if clause.unspecified:
        return Status.DIFFERS if failures else Status.HOLDS, failures, reason
    matched = {(k, f.api) for k in known for f in failures if k.matches(f.api, f.kind, f.message)}
    expected = {api for _, api in matched}
    unexpected = [f for f in failures if f.api not in expected]
    if unexpected:
        note = f"the failure differs from the known failure: {reason}" if known else None
        return Status.FAILED, sorted(failures, key=lambda f: f.api in expected), note
    for failure in known:
        pinned = [str(failure.api)] if failure.api else [api.value for api in apis]
        if passing := [api for api in pinned if (failure, api) not in matched]:
            names = " and ".join(passing)
            note = f"the {names} API does not have the known failure: {failure.reason}"
            return Status.UNEXPECTED_PASS, failures, note
    return Status.KNOWN_FAILURE if known else Status.PASSED, failures, reason
