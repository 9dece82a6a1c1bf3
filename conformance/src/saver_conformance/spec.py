"""Specs: the declaration of a saver, with everything that the suite must know."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from saver_conformance.capability import Api, Capability
from saver_conformance.violation import FailureKind

#: Opens a store in a private folder. Takes the folder and, if supported, `serde=`. Returns the
#: saver, a sync or async context manager that yields it, an awaitable or a generator.
Opener = Callable[..., Any]


@dataclass(frozen=True)
class KnownFailure:
    """A known failure of a clause, pinned to one fault. Any other failure fails the run.

    Attributes:
        reason: Cause of the failure, for reports.
        api: API that fails; None pins the failure to every API of the saver.
        kind: Kind of the failure.
        message: Text that the failure message contains.
    """

    reason: str
    _: KW_ONLY
    api: Api | str | None = None
    kind: FailureKind = FailureKind.WRONG
    message: str = ""

    def matches(self, api: str, kind: FailureKind, message: str) -> bool:
        """Return True if a failure is this known failure.

        Args:
            api: API of the failure.
            kind: Kind of the failure.
            message: Message of the failure.
        """
        return self.api in (None, api) and kind is self.kind and self.message in message


@dataclass(frozen=True, kw_only=True)
class SaverSpec:
    """A declaration of a saver: how to open it, and what its author claims.

    Attributes:
        name: Name in reports.
        open: Function that opens an empty store in the given folder.
        reopen: Function that opens the closed store again; None if the store ends with its saver.
        attach: Function that opens the store in a second process while the first uses it; None if
            only one process may. It must be importable: a function of a module, not a closure.
        durable: True if acknowledged data survives `SIGKILL`; requires `reopen` and `attach`.
        disk_errors: Function that returns a context manager in which writes to the disk fail. Takes
            the folder of the store, an errno (`ENOSPC` or `EIO`), and the number of writes that
            still succeed. Requires `reopen`.
        capabilities: Claimed capabilities among `delete_for_runs`, `copy_thread` and `prune`; None
            claims each overridden method. The other fields determine every other capability.
        lacks: Capabilities that the saver does not claim, although the suite detects them; for
            example `loops` for a saver that is bound to its event loop.
        known_failures: Known failures by clause id; a str is the reason of a wrong answer with
            every API. A different failure fails the run, and so does an unexpected pass.
        lifespan: Context manager around a whole run, for example to start a server.
        shared_store: True if `open` may return a store with content. The suite then deletes every
            thread before each example.
        snippet: Python lines that set `saver`, where `path` is an empty folder. Every printed
            program starts with them and continues at the indentation of their last line. A
            serializer is inserted at `{serde}` or `{, serde}`.
        distribution: Distribution whose version appears in reports.
        origin: `module:attribute` of this spec; set by `load_spec`.
    """

    name: str
    open: Opener
    reopen: Opener | None = None
    attach: Opener | None = None
    durable: bool = False
    disk_errors: Callable[[Path, int, int], AbstractContextManager[Any]] | None = None
    capabilities: Iterable[Capability | str] | None = None
    lacks: Iterable[Capability | str] = ()
    known_failures: Mapping[str, str | KnownFailure | Sequence[KnownFailure]] = field(
        default_factory=dict
    )
    lifespan: Callable[[], Any] = nullcontext
    shared_store: bool = False
    snippet: str | None = None
    distribution: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        if self.durable and not (self.reopen and self.attach):
            raise ValueError(f"{self.name}: durable=True requires reopen and attach")
        if self.disk_errors and not self.reopen:
            raise ValueError(f"{self.name}: disk_errors requires reopen")

    @classmethod
    def on_disk(cls, name: str, open: Opener, **claims: Any) -> SaverSpec:
        """Return the spec of a saver whose file or folder any process may open.

        Args:
            name: Name in reports.
            open: Function that opens the store in a folder, new or existing.
            **claims: Other fields of the spec.

        Returns:
            Spec that claims reopening, several processes and durability.
        """
        return cls(
            name=name, open=open, **{"reopen": open, "attach": open, "durable": True, **claims}
        )

    def known(self, clause_id: str) -> tuple[KnownFailure, ...]:
        """Return the known failures of a clause.

        Args:
            clause_id: Id of the clause.
        """
        declared = self.known_failures.get(clause_id, ())
        if isinstance(declared, str):
            return (KnownFailure(declared),)
        return (declared,) if isinstance(declared, KnownFailure) else tuple(declared)

    @property
    def takes_serde(self) -> bool:
        """True if `open` accepts a serializer."""
        try:
            parameters = inspect.signature(self.open).parameters
        except (TypeError, ValueError):
            return False
        return "serde" in parameters

    @property
    def version(self) -> str | None:
        """Installed version of the distribution, or None if unknown."""
        if self.distribution is None:
            return None
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


@runtime_checkable
class Registered(Protocol):
    """A registration of the official suite, made by `@checkpointer_test`."""

    name: str
    skip_capabilities: set[str]

    def create(self) -> AbstractAsyncContextManager[Any]:
        """Open a saver."""

    def enter_lifespan(self) -> AbstractAsyncContextManager[None]:
        """Enter the resources that the savers share."""


def as_spec(declared: object, *, origin: str | None = None) -> SaverSpec:
    """Return the spec of an object that declares a saver.

    Args:
        declared: A `SaverSpec`, or a registration made by `@checkpointer_test`.
        origin: `module:attribute` of the object.

    Returns:
        Spec.

    Raises:
        TypeError: If the object is neither.
    """
    if isinstance(declared, SaverSpec):
        return replace(declared, origin=origin) if origin else declared
    if isinstance(declared, Registered):
        registered = declared

        def open_registered(path: Path) -> AbstractAsyncContextManager[Any]:  # noqa: ARG001
            return registered.create()

        optional = {Capability.DELETE_FOR_RUNS, Capability.COPY_THREAD, Capability.PRUNE}
        skipped = {Capability(name) for name in registered.skip_capabilities}
        return SaverSpec(
            name=registered.name,
            open=open_registered,
            lacks=skipped & optional,
            lifespan=registered.enter_lifespan,
            shared_store=True,
            origin=origin,
        )
    raise TypeError(
        "spec must be a SaverSpec or a registration made by @checkpointer_test, "
        f"got {declared!r}; declare SaverSpec(name=..., open=lambda path: YourSaver(...))"
    )


def load_spec(reference: str) -> SaverSpec:
    """Import a spec.

    Args:
        reference: `module:attribute`, or `path/to/file.py:attribute`.

    Returns:
        Spec, with `origin` set to the reference.

    Raises:
        ValueError: If the reference has no module or no attribute.
        ImportError: If the module cannot be imported.
        AttributeError: If the module has no such attribute.
        TypeError: If the attribute does not declare a saver.
        Exception: If importing the module raises.
    """
    module_name, separator, attribute = reference.rpartition(":")
    if not separator or not module_name or not attribute:
        raise ValueError(f"reference must be MODULE:SPEC or FILE.py:SPEC, got {reference!r}")
    if module_name.endswith(".py"):
        file = Path(module_name).resolve()
        if not file.is_file():
            raise ImportError(f"file {file} does not exist")
        sys.path.insert(0, str(file.parent))
        module_name = file.stem
        found_at = getattr(importlib.import_module(module_name), "__file__", None)
        if found_at is None or Path(found_at).resolve() != file:
            raise ImportError(
                f"cannot import {file}: module {module_name} is loaded from {found_at}"
            )
    elif "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module = importlib.import_module(module_name)
    found = functools.reduce(getattr, attribute.split("."), module)
    return as_spec(found, origin=f"{module_name}:{attribute}")
