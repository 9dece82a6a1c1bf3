"""Run the chosen workloads with the chosen savers, each pair in its own process."""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import shutil
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benches import machine, postgres_server
from benches.measure import database_size
from benches.model import Bench, Location, Saver, UnsupportedError, Workload
from benches.savers import SAVERS
from benches.units import format_value
from benches.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, SpawnContext

    from rich.console import Console

Phase = Literal["prepare", "run"]

_PROGRESS_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """The selection and sizes of a run."""

    workloads: list[Workload]
    savers: list[Saver]
    quick: bool
    repeat: int | None
    directory: Path
    server: str | None = None
    """Connection string of a PostgreSQL server to use. None: start one."""


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measure every selected pair and return the JSON of the run."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(_work_directory(options.directory)))
        about = machine.describe(directory)
        if about["filesystem"] == "tmpfs":
            console.print("[bold red]nothing is durable on tmpfs: choose another --directory")
        savers, missing = _available(options.savers, options.server)
        for title, reason in missing.items():
            console.print(f"[bold yellow]{title} cannot be measured: {reason}")
        server = None
        if any(saver.server for saver in savers):
            server = stack.enter_context(postgres_server.open_server(directory, options.server))
            about["versions"]["PostgreSQL"] = server.version()
        runs = [*_Session(options, savers, directory, server, console).measure()]
    return {
        "machine": about | {"load_after": os.getloadavg()[0]},
        "quick": options.quick,
        "savers": {
            saver.name: {"version": machine.version(saver.distribution)} for saver in savers
        },
        "missing": missing,
        "runs": runs,
    }


@contextmanager
def _work_directory(parent: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="langgraph-lmdb-bench-", dir=parent) as directory:
        Path(directory).chmod(0o755)  # the user of the PostgreSQL server must reach its folder
        yield directory


def _available(savers: list[Saver], server: str | None) -> tuple[list[Saver], dict[str, str]]:
    """Return the savers that can be measured, and the reasons why the others cannot."""
    reasons = {saver.title: _reason_missing(saver, server) for saver in savers}
    missing = {title: reason for title, reason in reasons.items() if reason}
    return [saver for saver in savers if saver.title not in missing], missing


def _reason_missing(saver: Saver, server: str | None) -> str | None:
    if saver.server and server is None and postgres_server.find_binaries() is None:
        return postgres_server.MISSING
    try:
        pkgutil.resolve_name(saver.probe)
    except (ImportError, AttributeError) as error:
        return f"not importable ({error})"
    return None


class _Session:
    """A run of all pairs, one at a time."""

    def __init__(
        self,
        options: Options,
        savers: list[Saver],
        directory: Path,
        server: postgres_server.Server | None,
        console: Console,
    ) -> None:
        self._options = options
        self._savers = savers
        self._directory = directory
        self._server = server
        # A full run starts a new interpreter for each child. A quick run forks one that has already
        # imported everything.
        self._context: SpawnContext | ForkServerContext
        if options.quick:
            self._context = multiprocessing.get_context("forkserver")
            modules = [saver.probe.partition(":")[0] for saver in savers]
            self._context.set_forkserver_preload([__name__, *modules])
        else:
            self._context = multiprocessing.get_context("spawn")
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
        )

    def measure(self) -> Iterator[dict[str, Any]]:
        # Each repeat covers all savers, so that a drift of the machine affects all of them.
        pairs = [
            (workload, saver)
            for workload in self._options.workloads
            for _ in range(self._options.repeat or (1 if self._options.quick else workload.repeat))
            for saver in self._savers
        ]
        with self._progress:
            overall = self._progress.add_task("all", total=len(pairs))
            for workload, saver in pairs:
                title = f"{workload.name}  {saver.title_for(workload.api)}"
                task = self._progress.add_task(title, total=1.0)
                outcome = self._pair(workload, saver, task)
                self._progress.remove_task(task)
                self._progress.advance(overall)
                self._progress.console.print(
                    f"{title}: {_one_line(workload, outcome)}", soft_wrap=True
                )
                if "traceback" in outcome:
                    self._progress.console.print(outcome["traceback"], markup=False)
                yield {"workload": workload.name, "saver": saver.name, **outcome}

    def _pair(self, workload: Workload, saver: Saver, task: TaskID) -> dict[str, Any]:
        with self._location(saver) as location:
            if workload.prepare is not None and saver.persistent:
                outcome = self._child(workload, saver, location, "prepare", task)
                if "error" in outcome:
                    return outcome
            if not self._options.quick:
                os.sync()  # so that no measured flush writes data of another process
            return self._child(workload, saver, location, "run", task)

    @contextmanager
    def _location(self, saver: Saver) -> Iterator[Location]:
        if saver.server:
            assert self._server is not None
            with self._server.database("bench") as dsn:
                yield Location(self._directory, dsn, database_size(dsn))
            return
        directory = self._directory / "store"
        directory.mkdir()
        try:
            yield Location(directory)
        finally:
            shutil.rmtree(directory)

    def _child(
        self, workload: Workload, saver: Saver, location: Location, phase: Phase, task: TaskID
    ) -> dict[str, Any]:
        receiver, sender = self._context.Pipe(duplex=False)
        arguments = (sender, workload.name, saver.name, location, self._options.quick, phase)
        child = self._context.Process(target=_measure, args=arguments, daemon=True)
        child.start()
        sender.close()
        try:
            while receiver.poll(workload.timeout):
                message = receiver.recv()
                if isinstance(message, dict):
                    return message
                self._progress.update(task, completed=message)
        except EOFError:
            child.join()
            return {"error": f"the process ended with exit code {child.exitcode}"}
        else:
            return {"error": f"no message for {workload.timeout:.0f} s"}
        finally:
            child.kill()
            child.join()
            receiver.close()


def _measure(
    sender: Connection, workload: str, saver: str, location: Location, quick: bool, phase: Phase
) -> None:
    """Run one phase of one pair in a child, and send progress and outcome to the parent."""
    chosen = WORKLOADS[workload]
    bench = Bench(SAVERS[saver], location, quick, _Throttled(sender))
    pkgutil.resolve_name(bench.saver.probe)  # so that opening does not include importing
    try:
        if phase == "prepare":
            assert chosen.prepare is not None
            chosen.prepare(bench)
            sender.send({})
        else:
            sender.send(asdict(chosen.run(bench)))
    except UnsupportedError as reason:
        sender.send({"unsupported": str(reason)})
    except BaseException as error:  # noqa: BLE001 - the report shows any error
        detail = traceback.format_exc()
        sender.send({"error": f"{type(error).__name__}: {error}", "traceback": detail})


class _Throttled:
    """A progress callback that sends at most a few messages per second."""

    def __init__(self, sender: Connection) -> None:
        self._sender = sender
        self._next = 0.0

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PROGRESS_SECONDS
            self._sender.send(fraction)


def _one_line(workload: Workload, outcome: dict[str, Any]) -> str:
    for problem in ("error", "unsupported"):
        if problem in outcome:
            return f"{problem}: {outcome[problem]}"
    metrics = outcome["metrics"]
    return ", ".join(
        f"{metric.label} {format_value(metrics[metric.name], metric.unit)}"
        for metric in workload.metrics
        if metric.name in metrics
    )
