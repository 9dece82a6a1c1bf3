"""Stores that migrate: the model judges a store after any sequence of operations and migrations.

Each `reopen` of these specs migrates everything to a new store of the other saver, and opens that.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.migrate import migrate

from saver_conformance import Profile, SaverSpec, run
from saver_conformance.specs import lmdb, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

#: Runs long enough for several migrations each.
PROFILE = Profile(
    "migrations",
    10,
    5,
    30,
    40,
    call_seconds=60,
    example_seconds=300,
    clause_seconds=300,
    shrink_seconds=60,
)


def migrating(name: str, *specs: SaverSpec) -> tuple[SaverSpec, list[int]]:
    """Return the spec of a store that is opened as each spec in turn, and the migrations so far.

    Args:
        name: Name of the spec.
        *specs: Specs of the savers.
    """
    migrations: list[int] = []

    def at(path: Path, number: int, serde: Any) -> AbstractContextManager[Any]:
        folder = path / str(number)
        folder.mkdir(exist_ok=True)
        opened: AbstractContextManager[Any] = specs[number % len(specs)].open(folder, serde)
        return opened

    @contextmanager
    def begin(path: Path, serde: Any = None) -> Iterator[Any]:
        with at(path, 0, serde) as saver:
            yield saver

    @contextmanager
    def migrated(path: Path, serde: Any = None) -> Iterator[Any]:
        number = len([*path.iterdir()])
        with at(path, number - 1, serde) as source, at(path, number, serde) as target:
            report = migrate(source, target, workers=2)
            assert report.ok, str(report)
            assert migrate(source, target).copied_checkpoints == 0
            migrations.append(report.checkpoints)
            yield target

    known: dict[str, Any] = {
        clause: failure for spec in specs for clause, failure in spec.known_failures.items()
    }
    capabilities = None if all(spec is lmdb.spec for spec in specs) else ()
    spec = SaverSpec(
        name=name, open=begin, reopen=migrated, known_failures=known, capabilities=capabilities
    )
    return spec, migrations


class TextVersions(LmdbSaver):
    """A saver whose first version is a text, which a migration to SqliteSaver does not convert."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        return super().get_next_version(f"{0:032}.0" if current is None else current, channel)


def _open_text(path: Path, serde: Any = None) -> Any:
    return TextVersions(path / "store", serde=serde)


TEXT = SaverSpec.on_disk("TextVersions", _open_text)
PAIRS = {
    "sqlite and lmdb": (sqlite.sync, TEXT),
    "lmdb and lmdb": (lmdb.spec, lmdb.spec),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_migrated_store_equals_the_model(pair: str) -> None:
    """Failures that one of the savers has on its own are known."""
    spec, migrations = migrating(pair, *PAIRS[pair])
    report = run(spec, profile=PROFILE, only=["machine.operations", "reopen"])
    assert report.ok, report.to_fix
    assert len(migrations) > 20
