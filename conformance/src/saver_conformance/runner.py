"""Runs the suite against one saver."""

from __future__ import annotations

import inspect
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from saver_conformance import clauses
from saver_conformance.capability import EXTENDED, Capability
from saver_conformance.clause import CLAUSES, Clause
from saver_conformance.engine import run_clause
from saver_conformance.lifespan import LifespanError, entered
from saver_conformance.profile import PROFILES, Profile
from saver_conformance.result import ClauseResult, Failure, Report, Status
from saver_conformance.spec import as_spec
from saver_conformance.target import Target
from saver_conformance.timeouts import Executors, described

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saver_conformance.spec import SaverSpec

OnResult = Callable[[ClauseResult], None]

#: Clause that fails if the saver cannot be opened.
_OPENS = "spec.opens"


def run(
    spec: object,
    *,
    profile: str | Profile = "default",
    seed: int | None = 0,
    only: Iterable[str] = (),
    exclude: Iterable[str] = (),
    on_result: OnResult | None = None,
    shrink: bool = True,
) -> Report:
    """Run the suite against a saver.

    Args:
        spec: A `SaverSpec`, or a registration made by `@checkpointer_test`.
        profile: Effort: `quick`, `default`, `thorough`, or a `Profile`.
        seed: Seed of the random examples; None draws one, which the report contains.
        only: Clause ids or dotted prefixes to run; empty runs every clause.
        exclude: Clause ids or dotted prefixes to leave out.
        on_result: Callback for each result.
        shrink: True to look for the smallest failing example.

    Returns:
        Report of the run.

    Raises:
        KeyError: If the profile, or an id in `only` or `exclude`, does not exist.
        ServerMissingError: If the saver needs a server that is not installed.
        TypeError: If `spec` does not declare a saver.
    """
    declared = as_spec(spec)
    chosen = profile if isinstance(profile, Profile) else PROFILES[profile]
    clauses.load()
    excluded = CLAUSES.select(exclude)
    selected = [c for c in (CLAUSES.select(only) if only else CLAUSES) if c not in excluded]
    root_seed = random.randrange(2**32) if seed is None else seed  # noqa: S311
    began = time.monotonic()
    results: list[ClauseResult] = []
    apis: tuple[str, ...] = ()

    def note(result: ClauseResult) -> None:
        results.append(result)
        if on_result is not None:
            on_result(result)

    def give_up(broken: Failure) -> None:
        for clause in CLAUSES.select([_OPENS]) if only else selected:
            note(_unopened(clause, broken))

    try:
        with (
            tempfile.TemporaryDirectory(prefix="conformance-", ignore_cleanup_errors=True) as root,
            opened_target(declared, chosen, Path(root)) as target,
        ):
            broken = _open(target)
            if broken is not None:
                give_up(broken)
            else:
                apis = tuple(map(str, target.features.apis))
                for clause in selected:
                    note(run_clause(target, clause, chosen, root_seed, shrink=shrink))
    except LifespanError as error:
        failure = _failure(declared, str(error))
        if results:
            results = [r for r in results if r.clause.id != _OPENS]
            note(_unopened(CLAUSES[_OPENS], failure))
        else:
            give_up(failure)
    return Report(
        declared.name,
        declared.version,
        declared.origin,
        chosen.name,
        root_seed,
        time.monotonic() - began,
        apis,
        results,
        tuple(sorted(i for i in declared.known_failures if i not in CLAUSES)),
    )


@contextmanager
def opened_target(spec: SaverSpec, profile: Profile, root: Path) -> Iterator[Target]:
    """Open the resources of a saver, and close them after the block.

    Args:
        spec: Declaration of the saver.
        profile: Profile with the time limit of a call.
        root: Folder for stores.

    Yields:
        Target that is not probed yet.
    """
    executors = Executors(profile.call_seconds)
    try:
        with entered(spec, executors):
            yield Target(spec, executors, root)
    finally:
        executors.close()


def _open(target: Target) -> Failure | None:
    try:
        target.probe()
    # A spec may raise anything; its author needs the message.
    except Exception as error:  # noqa: BLE001
        return _failure(target.spec, f"opening or closing the saver failed: {described(error)}")
    if not target.features.apis:
        message = "the saver implements neither put and get_tuple nor aput and aget_tuple"
        return _failure(target.spec, message)
    return None


def _failure(spec: SaverSpec, message: str) -> Failure:
    return Failure(message, f"# {_where(spec)}\n", "-")


def _where(spec: SaverSpec) -> str:
    try:
        return f"open is {inspect.getsourcefile(spec.open)}:{inspect.getsourcelines(spec.open)[1]}"
    except (OSError, TypeError):
        return f"open is {spec.open!r}"


def _unopened(clause: Clause, broken: Failure) -> ClauseResult:
    if clause.id == _OPENS:
        return ClauseResult(clause, Status.FAILED, 1, failures=(broken,))
    optional = clause.needs & (EXTENDED | {Capability.ASYNC})
    status = Status.NOT_CLAIMED if optional or clause.unspecified else Status.NOT_RUN
    return ClauseResult(clause, status, note="the saver could not be opened")
