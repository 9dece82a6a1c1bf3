"""A saver under test: its spec, its probed features, and its sessions."""

from __future__ import annotations

import copy
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from saver_conformance.capability import BASE, EXTENDED, Api, Capability
from saver_conformance.lifecycle import OpenSaver
from saver_conformance.opener_source import opener_source
from saver_conformance.recorder import acall
from saver_conformance.script import Script
from saver_conformance.session import Session, at, checkpoint_id, make_checkpoint
from saver_conformance.timeouts import CallTimeoutError, Executors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from saver_conformance.spec import Opener, SaverSpec
    from saver_conformance.violation import Violation

_METHODS = (*BASE, *EXTENDED)
_CORE = (Capability.PUT, Capability.GET_TUPLE)


class ProbeError(Exception):
    """A hang of an ordinary first call, so that no clause can run against the saver."""


@dataclass(frozen=True)
class Features:
    """A record of what a saver supports.

    Attributes:
        apis: APIs that can put and get.
        methods: Methods of the protocol, for each API.
        claimed: Capabilities that clauses may test.
        on_loop: True if the saver must be opened on an event loop.
        statement: Statement that opens the saver in a program; None if no single statement does.
    """

    apis: tuple[Api, ...]
    methods: dict[Api, frozenset[Capability]]
    claimed: frozenset[Capability]
    on_loop: bool = False
    statement: str | None = None


@dataclass
class Target:
    """A saver under test.

    Attributes:
        spec: Declaration of the saver.
        executors: Executors of its calls.
        root: Folder for its stores.
        features: Features found by `probe`.
        broken: Ids of the clauses that it breaks.
    """

    spec: SaverSpec
    executors: Executors
    root: Path
    features: Features = field(default_factory=lambda: Features((), {}, frozenset()))
    broken: set[str] = field(default_factory=set)

    def probe(self) -> None:
        """Open the saver and call every method once, to find its features.

        Raises:
            CallTimeoutError: If opening or closing hangs.
            ProbeError: If a method hangs.
            NotASaverError: If the spec opens something that is not a saver.
            Exception: If opening or closing raises.
        """
        with self.folder() as path:
            opened = OpenSaver(lambda: self.spec.open(path), self.executors)
            try:
                methods = {
                    api: frozenset(m for m in _METHODS if self._has(opened.saver, api, m))
                    for api in Api
                }
                bound_to_loop, statement = opened.on_loop, opened.statement
            finally:
                opened.close()
        apis = tuple(f for f in Api if all(m in methods[f] for m in _CORE))
        claimed = self._claimed(apis, methods)
        if not bound_to_loop and Api.ASYNC in apis and Capability.LOOPS not in self._lacks():
            claimed |= {Capability.LOOPS}
        self.features = Features(apis, methods, claimed, bound_to_loop, statement)

    def _claimed(
        self, apis: tuple[Api, ...], methods: dict[Api, frozenset[Capability]]
    ) -> frozenset[Capability]:
        spec = self.spec
        claimed = {Capability.DELTA_HISTORY, Capability.THREADS, Capability.GRAPH}
        claimed |= {Capability.SPEC, *(m for m in BASE for api in apis if m in methods[api])}
        if spec.capabilities is None:
            claimed |= {m for api in apis for m in methods[api]}
        else:
            claimed |= {Capability(c) for c in spec.capabilities}
        if Api.ASYNC in apis:
            claimed.add(Capability.ASYNC)
        if len(apis) == len(Api):
            claimed.add(Capability.BOTH_APIS)
        for capability, claims in (
            (Capability.SERDE, spec.takes_serde),
            (Capability.REOPEN, spec.reopen is not None),
            (Capability.PROCESSES, spec.attach is not None),
            (Capability.DURABLE, spec.durable),
            (Capability.DISK_ERRORS, spec.disk_errors is not None),
        ):
            if claims:
                claimed.add(capability)
        return frozenset(claimed - self._lacks())

    def breaks(self, clauses: Iterable[str]) -> list[str]:
        """Return the broken clauses that match.

        Args:
            clauses: Clause ids, or patterns of the form `prefix.*`.

        Returns:
            Sorted ids of the broken clauses.
        """
        patterns = tuple(clauses)
        return sorted(i for i in self.broken if any(fnmatchcase(i, p) for p in patterns))

    def _lacks(self) -> set[Capability]:
        return {Capability(c) for c in self.spec.lacks}

    def _has(self, saver: Any, api: Api, method: Capability) -> bool:
        name = api.method(method.value)
        if getattr(type(saver), name, None) is getattr(BaseCheckpointSaver, name, None):
            return False
        try:
            self._call(saver, api, method.value, copy.deepcopy(_PROBES[method]))
        except NotImplementedError:
            return False
        except CallTimeoutError as error:
            raise ProbeError(f"{name} hung, {error}") from error
        # The clauses of the capability check any other error.
        except Exception:  # noqa: BLE001
            return True
        return True

    def _call(self, saver: Any, api: Api, method: str, args: tuple[Any, ...]) -> Any:
        if api is Api.ASYNC:
            return self.executors.loop.run(acall(saver, method, args, {}), self.executors.seconds)
        function = getattr(saver, method)
        if method == "list":
            return self.executors.worker.call(lambda: [*function(*args)], self.executors.seconds)
        return self.executors.worker.call(lambda: function(*args), self.executors.seconds)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield an empty folder and remove it afterwards."""
        path = Path(tempfile.mkdtemp(dir=self.root))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def script(self) -> Script:
        """Return an empty program for this saver."""
        spec, statement = self.spec, self.features.statement
        source = opener_source(spec, statement) if statement and spec.snippet is None else None
        if source is None:
            return Script(spec.snippet, spec.origin, on_loop=self.features.on_loop)
        return Script(source.snippet, spec.origin, definitions=source.definitions)

    @contextmanager
    def session(
        self,
        api: Callable[[], Api],
        on_violation: Callable[[Violation], None] | None = None,
    ) -> Iterator[Session]:
        """Open an empty store for one example.

        Args:
            api: Function that returns the API of each call.
            on_violation: Callback for a violation, called before cleanup.

        Yields:
            The session.

        Raises:
            Violation: If the example breaks the clause, or the saver does not open or close.
        """
        with self.folder() as path:
            fresh = [True]

            def opener(**options: Any) -> OpenSaver:
                first = bool(fresh and fresh.pop())
                chosen: Opener = self.spec.open if first else self.spec.reopen or self.spec.open
                opened = OpenSaver(lambda: chosen(path, **options), self.executors)
                if self.spec.shared_store and first:
                    self._empty(opened.saver)
                return opened

            session = Session(opener, self.executors, api, self.script(), path, self.spec)
            session.on_violation = on_violation
            session.broken = frozenset(self.broken | self.spec.known_failures.keys())
            session.apis, session.claimed = self.features.apis, self.features.claimed
            try:
                yield session
            except BaseException:
                # The example already failed; a failing close adds no information.
                with suppress(Exception):
                    session.close()
                raise
            session.close()

    def _empty(self, saver: Any) -> None:
        api = self.features.apis[0] if self.features.apis else Api.SYNC
        found = self._call(saver, api, "list", (None,))
        threads = {t.config["configurable"]["thread_id"] for t in found} | {"thread", "other"}
        for thread in threads:
            self._call(saver, api, "delete_thread", (thread,))


_PROBES: dict[Capability, tuple[Any, ...]] = {
    Capability.PUT: (
        at("probe"),
        make_checkpoint(checkpoint_id(0)),
        {"source": "loop", "step": 0},
        {},
    ),
    Capability.GET_TUPLE: (at("probe"),),
    Capability.PUT_WRITES: (at("probe", id=checkpoint_id(0)), [("channel", 1)], "task"),
    Capability.LIST: (at("probe"),),
    Capability.DELETE_THREAD: ("probe",),
    Capability.DELETE_FOR_RUNS: (["probe"],),
    Capability.COPY_THREAD: ("probe", "probe-copy"),
    Capability.PRUNE: (["probe"],),
}
