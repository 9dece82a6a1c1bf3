"""Everything public is documented: methods, arguments, results, commands and errors."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, get_args

import langgraph.checkpoint.lmdb as package
from langgraph.checkpoint.lmdb import LmdbSaver, TTLConfig, errors
from langgraph.checkpoint.lmdb.cli.main import main
from langgraph.checkpoint.lmdb.cli.table import GROUPS
from langgraph.checkpoint.lmdb.models import Outcome
from langgraph.checkpoint.lmdb.verification import kinds
from langgraph.checkpoint.lmdb.workflows import errors as workflow_errors
from tests.docs.pages import PAGES, ROOT, code

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

REFERENCE = ROOT / "docs" / "reference.md"
RETENTION = ROOT / "docs" / "guides" / "retention.md"
DOCS = [page for page in PAGES if page.parent != ROOT]


def undocumented(names: Iterable[str], pages: Iterable[Path]) -> list[str]:
    """Return the names that no code block and no code span of the pages has."""
    text = "\n".join(map(code, pages))
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}\b", text)]


def table_rows(page: Path) -> list[list[str]]:
    """Return the cells of all tables of a page."""
    lines = page.read_text("utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]


def help_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a command prints for --help."""
    assert main([*arguments, "--help"]) == 0
    return capsys.readouterr().out


def test_methods() -> None:
    names = [name for name in dir(LmdbSaver) if not name.startswith("_")]
    assert {"put", "aput", "sweep", "verify"} <= {*names}
    assert undocumented(names, [REFERENCE]) == []


def test_arguments() -> None:
    names = [name for name in inspect.signature(LmdbSaver).parameters if name != "self"]
    assert "map_size" in names
    assert undocumented(names, [REFERENCE]) == []


def test_defaults() -> None:
    """A default in the reference is the default of the code."""
    written = dict(re.findall(r"^\| `(\w+)=(.+?)` \|", REFERENCE.read_text("utf-8"), re.MULTILINE))
    shown = {"clock": "time.time", "cache_size": "64 MiB", "map_size": "16 MiB"}
    scales = {"64 MiB": 64 << 20, "16 MiB": 16 << 20}
    for name, parameter in inspect.signature(LmdbSaver).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            expected = shown.get(name, str(parameter.default).replace("full", '"full"'))
            assert written[name] == expected, name
            if expected in scales:
                assert parameter.default == scales[expected], name


def test_keys_of_ttl() -> None:
    assert undocumented(TTLConfig.__annotations__, [RETENTION]) == []


def test_fields_of_results() -> None:
    fields = {
        name: [field.name for field in dataclasses.fields(value)]
        if dataclasses.is_dataclass(value)
        else list(getattr(value, "_fields", ()))
        for name, value in ((name, getattr(package, name)) for name in package.__all__)
    }
    for name in ("Branch", "ThreadInfo", "StoreStats", "SweepReport", "VerifyReport", "Problem"):
        assert fields[name], name
    for name, names in fields.items():
        assert undocumented(names, DOCS) == [], name


def test_errors() -> None:
    """Each error has a row in the reference, with its kind."""
    rows = {
        match[1]: row[1].strip("`")
        for row in table_rows(REFERENCE)
        if (match := re.match(r"\**`(\w+Error)`", row[0]))
    }
    assert rows == {
        name: getattr(module, name).kind
        for module in (errors, workflow_errors)
        for name in module.__all__
    }


def test_kinds_of_problems() -> None:
    constants = {value for name, value in vars(kinds).items() if name.isupper()}
    assert kinds.LOST_CHECKPOINT in constants
    assert undocumented(constants, [REFERENCE]) == []
    assert undocumented(get_args(Outcome), [ROOT / "docs" / "guides" / "damage.md"]) == []


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert "verify" in GROUPS
    assert undocumented(GROUPS, [REFERENCE]) == []
    for command in GROUPS:
        options = {*re.findall(r"--[\w-]+", help_of([command], capsys))} - {"--help"}
        synopses = [
            line for line in code(REFERENCE).splitlines() if f"langgraph-lmdb {command} " in line
        ]
        assert len(synopses) == 1, command
        assert options == {*re.findall(r"--[\w-]+", synopses[0])}, command


def test_what_is_not_documented_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`saver.put()` and prune, `xsweep`\n\n    backup --json\n")
    names = ["put", "prune", "sweep", "backup", "--json", "--js"]
    assert undocumented(names, [page]) == ["prune", "sweep", "--js"]
