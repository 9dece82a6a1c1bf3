"""The declaration of a saver: everything the suite needs to know about it."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from saver_conformance.capability import Capability

#: Opens a store in a private folder. It takes the folder and, where the saver allows, `serde=`;
#: it returns the saver, a context manager of it (either kind), an awaitable or a generator.
Opener = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class SaverSpec:
    """How to open a saver, and what its author claims of it.

    Attributes:
        name: What reports call it.
        open: Opens an empty store in the folder that it is given.
        reopen: Opens that store again after it was closed; None if it does not outlive its saver.
        attach: Opens that store in a second process while the first still has it; None if only
            one process may. It must be importable from there: a function of a module, no closure.
        durable: Whether what `put` acknowledged survives `SIGKILL`; needs `reopen` and `attach`.
        capabilities: Which of `delete_for_runs`, `copy_thread` and `prune` it claims; None claims
            what it overrides. Every other capability follows from the fields above.
        lacks: Capabilities that it does not claim although the suite would expect them, such as
            `loops` for a saver that belongs to the event loop that it was made on.
        known_failures: Reasons, by clause id. One that passes is reported.
        lifespan: Entered once around a whole run, for instance to start a server.
        shared_store: Whether `open` may return a store with other content; the suite then deletes
            every thread that it finds before it begins.
        snippet: Python lines that set `saver`, with `path` naming an empty folder; printed at the
            head of a minimal program, which goes on at the indentation of their last line;
            `{serde}` or `{, serde}` is where a serializer is passed.
        distribution: The distribution whose version reports show.
        origin: `module:attribute` of this spec; filled in by `load_spec`.
    """

    name: str
    open: Opener
    reopen: Opener | None = None
    attach: Opener | None = None
    durable: bool = False
    capabilities: Iterable[Capability | str] | None = None
    lacks: Iterable[Capability | str] = ()
    known_failures: Mapping[str, str] = field(default_factory=dict)
    lifespan: Callable[[], Any] = nullcontext
    shared_store: bool = False
    snippet: str | None = None
    distribution: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        if self.durable and not (self.reopen and self.attach):
            raise ValueError(f"{self.name}: durable needs both reopen and attach")

    @classmethod
    def on_disk(cls, name: str, open: Opener, **claims: Any) -> SaverSpec:
        """Declare a saver whose store is a file or folder that any process may open.

        Args:
            name: What reports call it.
            open: Opens the store in a folder, whether or not it is there already.
            **claims: Any other field of a spec.

        Returns:
            A spec that claims reopening, several processes and durability.
        """
        return cls(
            name=name, open=open, **{"reopen": open, "attach": open, "durable": True, **claims}
        )

    @property
    def takes_serde(self) -> bool:
        """Whether `open` accepts a serializer of the suite's."""
        try:
            parameters = inspect.signature(self.open).parameters
        except (TypeError, ValueError):
            return False
        return "serde" in parameters

    @property
    def version(self) -> str | None:
        """The installed version of its distribution, or None if it names none."""
        if self.distribution is None:
            return None
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


@runtime_checkable
class Registered(Protocol):
    """What `@checkpointer_test` of the official suite makes."""

    name: str
    skip_capabilities: set[str]

    def create(self) -> AbstractAsyncContextManager[Any]:
        """Open a saver."""

    def enter_lifespan(self) -> AbstractAsyncContextManager[None]:
        """Set up what the savers need, once."""


def as_spec(declared: object, *, origin: str | None = None) -> SaverSpec:
    """Return a spec for anything that declares a saver.

    Args:
        declared: A `SaverSpec`, or what the official suite's `@checkpointer_test` registered.
        origin: `module:attribute` where it was found.

    Returns:
        The spec.

    Raises:
        TypeError: If it is neither.
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
        f"{declared!r} is no SaverSpec and was not made by @checkpointer_test; "
        "declare SaverSpec(name=..., open=lambda path: YourSaver(...))"
    )


def load_spec(reference: str) -> SaverSpec:
    """Import a spec.

    Args:
        reference: `module:attribute`, or `path/to/file.py:attribute`.

    Returns:
        The spec, with `origin` set to the reference.

    Raises:
        ValueError: If the reference has no attribute part.
        ImportError: If the module cannot be imported.
        AttributeError: If it has no such attribute.
        TypeError: If the attribute declares no saver.
        Exception: Whatever importing the module raises.
    """
    module_name, separator, attribute = reference.rpartition(":")
    if not separator or not module_name or not attribute:
        raise ValueError(f"{reference!r} is not MODULE:SPEC, such as my_package.specs:spec")
    if module_name.endswith(".py"):
        file = Path(module_name).resolve()
        if not file.is_file():
            raise ImportError(f"there is no file {file}")
        sys.path.insert(0, str(file.parent))
        module_name = file.stem
        found_at = getattr(importlib.import_module(module_name), "__file__", None)
        if found_at is None or Path(found_at).resolve() != file:
            raise ImportError(f"{file} cannot be imported: {module_name} is {found_at} already")
    elif "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module = importlib.import_module(module_name)
    found = functools.reduce(getattr, attribute.split("."), module)
    return as_spec(found, origin=f"{module_name}:{attribute}")
