"""The output of each command with --json has the fields that the reference lists."""

from __future__ import annotations

import json
import re
from types import NoneType
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.cli.main import main
from langgraph.checkpoint.lmdb.cli.table import GROUPS
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = ("bytes", "checkpoints", "column", "end", "file_bytes", "from_bytes", "size", "start")
COUNTS += ("threads", "completed", "copied_checkpoints", "copied_writes", "verified", "damaged")
TEXTS = ("thread_id", "namespace", "checkpoint_id", "created", "updated", "created_at", "kind")
TEXTS += ("path", "text", "task_id", "channel", "role", "topic", "level", "current", "day")
OPTIONAL_TEXTS = ("parent_id", "run_id", "state", "error", "source", "expires", "advice")
OPTIONAL_TEXTS += ("name", "before_checkpoint", "after_checkpoint", "quarantine", "pages_unchecked")
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(COUNTS, (int,)),
    **dict.fromkeys(TEXTS, (str,)),
    **dict.fromkeys(OPTIONAL_TEXTS, (str, NoneType)),
    **dict.fromkeys(("next", "namespaces", "largest", "growth", "sizes", "nodes"), (list,)),
    **dict.fromkeys(("is_latest", "dry_run", "ok"), (bool,)),
    "step": (int, NoneType),
    "metadata": (dict,),
    "minutes": (int, float, NoneType),
}
"""Types of fields. A name has the same type in each command but those below."""
OTHERS: dict[tuple[str, str], tuple[type, ...]] = {
    ("resume", "completed"): (bool,),
    ("recover", "completed"): (bool,),
    **{
        (name, field): (str, NoneType)
        for name in ("verify", "recover-pages")
        for field in ("thread_id", "checkpoint_id", "channel", "task_id")
    },
}
GRAPH = """
from langgraph.graph import START, StateGraph
from tests.views.graphs import State
graph = StateGraph(State).add_node("prepare", lambda _: {}).add_node("publish", lambda _: {})
graph = graph.add_edge(START, "prepare").add_edge("prepare", "publish")
"""


def documented() -> dict[str, dict[str, Any]]:
    """Return the fields of each command, with those of nested objects, from the reference."""
    section = (ROOT / "docs" / "reference.md").read_text("utf-8").partition("### JSON")[2]
    found: dict[str, dict[str, Any]] = {}
    for commands, text in re.findall(r"^\| (`[a-z].*?) \|.*?\| (.*) \|$", section, re.MULTILINE):
        for name in re.findall(r"`([\w-]+)`", commands):
            found[name] = fields(text, found)
    return found


def fields(text: str, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields that a cell lists: each in backticks, nested ones in parentheses."""
    levels: list[dict[str, Any]] = [{}]
    last = ""
    for token in re.finditer(r"as `([\w-]+)`|`(\w+\??)`|([()])", text):
        if token[1]:
            levels[-1].update(known[token[1]])
        elif token[2]:
            last = token[2]
            levels[-1][last] = None
        elif token[3] == "(":
            levels.append({})
            levels[-2][last] = levels[-1]
        else:
            levels.pop()
    return levels[0]


def check(command: str, data: Any, schema: dict[str, Any]) -> None:
    """Check that an object has the fields of a schema, with values of their types."""
    assert {name for name in schema if not name.endswith("?")} <= {*data}, (command, data)
    assert {*data} <= {name.rstrip("?") for name in schema}, (command, data)
    for name, nested in schema.items():
        value = data.get(name.rstrip("?"))
        kinds = OTHERS.get((command, name), TYPES.get(name, (object,)))
        if nested is None:
            is_list_of_checkpoints = name in ("checkpoints", "writes") and isinstance(value, list)
            assert isinstance(value, kinds) or is_list_of_checkpoints, (command, name, value)
        else:
            for part in value if isinstance(value, list) else [value]:
                if part is not None:
                    check(command, part, nested)


def test_output_has_the_documented_fields(
    copied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "json_graph.py").write_text(GRAPH)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    store, schemas = str(copied), documented()
    assert schemas.keys() == GROUPS.keys()
    assert main(["export", store, "lossless.jsonl", "--lossless"]) == 0
    graph = ["--graph", "json_graph:graph"]
    calls: dict[str, list[str]] = {
        "threads": [],
        "history": ["forked"],
        "show": ["chat"],
        "tree": ["forked"],
        "diff": ["forked"],
        "grep": ["sunny"],
        "stats": ["--values"],
        "runs": ["--stuck-after", "0"],
        "fork": ["failed", "fork", "--at", "~1"],
        "recover": [*graph, "--min-age", "0"],
        "resume": ["failed", *graph],
        "copy": ["chat", "copy"],
        "set-ttl": ["copy", "5"],
        "sweep": ["--yes"],
        "prune": ["delta", "--keep-last", "2", "--yes"],
        "delete": ["delta", "--yes"],
        "export": ["--thread", "waiting"],
        "verify": [],
        "recover-pages": ["recovered"],
        "backup": ["backup"],
        "doctor": [],
        "compact": [],
        "migrate": ["migrated"],
    }
    for name, arguments in calls.items():
        capsys.readouterr()
        assert main([name, store, *arguments, "--json"]) in (0, 1), name
        lines = capsys.readouterr().out.splitlines()
        assert lines, name
        for line in lines:
            check(name, json.loads(line), schemas[name])
    assert main(["import", "imported", "lossless.jsonl", "--json"]) == 0
    check("import", json.loads(capsys.readouterr().out), schemas["import"])


def test_other_fields_are_noticed() -> None:
    schema = fields("`thread_id`, `error?`, `nodes` (`step`, `next`)", {})
    assert schema == {"thread_id": None, "error?": None, "nodes": {"step": None, "next": None}}
    good = {"thread_id": "t", "nodes": [{"step": 1, "next": []}]}
    check("x", good, schema)
    for bad in (
        {**good, "more": 1},
        {"nodes": []},
        {**good, "thread_id": 1},
        {**good, "nodes": [{"step": 1}]},
    ):
        with pytest.raises(AssertionError):
            check("x", bad, schema)
