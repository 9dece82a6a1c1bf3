"""Registration of mutants, and their base class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from saver_conformance import SaverSpec
from saver_conformance.model import Model
from saver_conformance.reference import ReferenceSaver
from saver_conformance.specs.reference import FailingDisk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saver_conformance.model import Entry

MUTANTS: dict[str, Mutant] = {}

S = TypeVar("S", bound=type[ReferenceSaver])


@dataclass(frozen=True)
class Mutant:
    """A saver with one fault.

    Attributes:
        name: Name of the class.
        fault: Description of the fault, in one line.
        kills: Ids of the clauses that must fail.
        spec: Spec of the saver.
    """

    name: str
    fault: str
    kills: tuple[str, ...]
    spec: SaverSpec


def mutant(*kills: str, disk: bool = False, **claims: Any) -> Callable[[S], S]:
    """Register the decorated saver as a mutant."""

    def register(saver: S) -> S:
        def in_memory(path: Path, serde: Any = None) -> ReferenceSaver:
            return saver(serde=serde)

        def on_disk(path: Path, serde: Any = None) -> ReferenceSaver:
            return saver(path, serde=serde)

        name = saver.__name__
        opener = on_disk if disk else in_memory
        declare: Any = SaverSpec.on_disk if disk else _in_memory
        spec = declare(
            name, opener, origin=f"mutants:{name}", snippet=_snippet(saver, disk), **claims
        )
        assert name not in MUTANTS, name
        MUTANTS[name] = Mutant(name, " ".join((saver.__doc__ or "").split()), kills, spec)
        return saver

    return register


def _snippet(saver: type[Any], disk: bool) -> str:
    where = "Path(path){, serde}" if disk else "{serde}"
    return f"""
        from pathlib import Path
        from {saver.__module__} import {saver.__name__} as Saver
        saver = Saver({where})
    """


def _in_memory(name: str, opener: Any, **claims: Any) -> SaverSpec:
    return SaverSpec(name=name, open=opener, **claims)


class Faulty(FailingDisk):
    """A reference saver with hooks for faults."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """Return the checkpoint to store."""
        return checkpoint

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Return the metadata to store."""
        return metadata

    def changed_tuple(self, found: Any) -> Any:
        """Return the tuple to return from get_tuple and list."""
        return found

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return super().put(
            config,
            self.changed_checkpoint({**checkpoint}),
            self.changed_metadata({**metadata}),
            new_versions,
        )

    def tuple_of(self, entry: Entry) -> Any:
        return self.changed_tuple(super().tuple_of(entry))


class ModelFault(Faulty):
    """A reference saver with a faulty model."""

    OwnModel: type[Model] = Model

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model = self.OwnModel()


def values(found: Any, change: Callable[[Any], Any]) -> Any:
    """Return a tuple with every channel value changed."""
    changed = {k: change(v) for k, v in found.checkpoint["channel_values"].items()}
    return found._replace(checkpoint={**found.checkpoint, "channel_values": changed})
