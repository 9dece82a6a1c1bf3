"""The command that migrates: its report, its progress, its exit status, and the way of a user."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING
from uuid import SafeUUID

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.migrate.__main__ import main
from tests.cli.conftest import environment, run, run_json
from tests.cli.test_manners import on_terminal
from tests.graphs.driving import at_thread
from tests.migrate.test_graphs import shown, travel
from tests.migrate.test_values import put

if TYPE_CHECKING:
    from pathlib import Path

APP = """
    import sys
    from typing import Annotated, TypedDict

    from langchain_core.messages import AIMessage, AnyMessage
    from langgraph.graph import START, StateGraph, add_messages
    from langgraph.types import Command, interrupt


    class State(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]


    def answer(state):
        count = len(state["messages"])
        if "order" in state["messages"][-1].content:
            return {"messages": [AIMessage(f"ordered: {interrupt('Which size?')}", id=f"{count}")]}
        return {"messages": [AIMessage(f"answer {count} " + "word " * 300, id=f"{count}")]}


    def run(saver):
        graph = StateGraph(State).add_node("answer", answer).add_edge(START, "answer")
        graph = graph.compile(checkpointer=saver)
        at = {"configurable": {"thread_id": "ada"}}
        for text in sys.argv[1:]:
            if graph.get_state(at).interrupts:
                graph.invoke(Command(resume=text), at)
            else:
                graph.invoke({"messages": [("user", text)]}, at)
        messages = graph.get_state(at).values["messages"]
        print(len(messages), messages[-1].content.strip())
"""
BEFORE = """
    import sqlite3
    from langgraph.checkpoint.sqlite import SqliteSaver
    import app

    connection = sqlite3.connect("checkpoints.sqlite", check_same_thread=False)
    app.run(SqliteSaver(connection))
    connection.close()
"""
AFTER = """
    from langgraph.checkpoint.lmdb import LmdbSaver
    import app

    with LmdbSaver("checkpoints") as saver:
        app.run(saver)
"""


def test_an_app_continues_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new user's way from SqliteSaver to this package, with a run that waits for an answer."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("app", APP), ("before", BEFORE), ("after", AFTER)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    def start(name: str, *texts: str) -> str:
        command = [sys.executable, f"{name}.py", *texts]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment()
        ).stdout.strip()

    said = [f"question {number}" for number in range(20)]
    assert start("before", *said, "order a shirt") == "41 order a shirt"
    done = run("migrate", "checkpoints.sqlite", "checkpoints/", new=True)
    assert done.stdout.startswith("1 threads, 62 checkpoints, ")
    assert " times smaller\n" in done.stdout
    assert done.stdout.endswith("verified 62 checkpoints, 0 differences\n")
    assert done.stderr == ""
    assert start("after") == "41 order a shirt"
    assert start("after", "large") == "42 ordered: large"
    assert start("after", "thanks").startswith("44 answer 43 word")


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the threads a and b, which tests only read."""
    path = tmp_path_factory.mktemp("source") / "a.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        travel(saver)
    return path


def test_a_terminal_shows_progress(sqlite_file: Path, tmp_path: Path) -> None:
    status, output = on_terminal("migrate", sqlite_file, tmp_path / "store")
    assert status == 0
    progress, _, report = output.rpartition("\r\x1b[K")
    assert " checkpoints, 0 threads complete" in progress
    assert report.startswith("2 threads, ")


def test_the_report_as_json(sqlite_file: Path, tmp_path: Path) -> None:
    arguments = ("migrate", sqlite_file, tmp_path / "store", "--workers", "1", "--thread", "a")
    (first,) = run_json(*arguments, LANGGRAPH_LMDB_STORE="elsewhere")
    (second,) = run_json(*arguments[:3])
    assert (first["threads"], second["threads"]) == (1, 2)
    assert first["verified"] == first["copied_checkpoints"] > 10
    assert second["copied_checkpoints"] == second["checkpoints"] - first["checkpoints"] > 10
    assert first["source_bytes"] > 0
    assert first["differences"] == first["unknown"] == []
    (third,) = run_json(*arguments[:3], "--no-verify")
    assert (third["copied_checkpoints"], third["verified"]) == (0, 0)


def test_the_module_is_a_command_of_its_own(
    sqlite_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(sqlite_file), str(tmp_path / "store")]) == 0
    assert main([str(sqlite_file), str(tmp_path / "store"), "--no-resume"]) == 2
    assert main([str(tmp_path / "store"), str(tmp_path / "b.sqlite"), "--thread", "b"]) == 0
    assert "the target has the thread already" in capsys.readouterr().err
    with (
        SqliteSaver.from_conn_string(str(sqlite_file)) as source,
        SqliteSaver.from_conn_string(str(tmp_path / "b.sqlite")) as target,
    ):
        assert shown(source, "b") == shown(target, "b")
        assert shown(target, "a") == []


def test_a_difference_is_exit_status_1(tmp_path: Path) -> None:
    """A store does not replace a pending write, so the two sides remain different."""
    config = at_thread("a", checkpoint_ns="", checkpoint_id="1")
    with (
        LmdbSaver(tmp_path / "store") as target,
        SqliteSaver.from_conn_string(str(tmp_path / "a.sqlite")) as source,
    ):
        for number, saver in enumerate((source, target)):
            at = at_thread("a", checkpoint_ns="")
            saver.put(at, {**empty_checkpoint(), "id": "1"}, {"source": "loop", "step": 0}, {})
            saver.put_writes(config, [("channel", number)], "task \x1b[2J")
    done = run("migrate", tmp_path / "a.sqlite", tmp_path / "store", status=1)
    assert "verified 1 checkpoints, 1 differences" in done.stdout
    assert "\\x1b[2J" in done.stdout
    assert "(thread_id 'a', checkpoint_ns '', checkpoint_id '1')" in done.stdout
    (report,) = run_json("migrate", tmp_path / "a.sqlite", tmp_path / "store", status=1)
    (difference,) = report["differences"]
    assert difference["part"] == "writes of task 'task \\x1b[2J'"


def test_a_type_that_strict_mode_refuses_is_an_error(tmp_path: Path) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "a.sqlite")) as source:
        put(source, {"level": [SafeUUID.safe]})
    command = ("migrate", tmp_path / "a.sqlite", tmp_path / "store")
    done = run(*command, status=2, LANGGRAPH_STRICT_MSGPACK="true")
    assert "the serializer refuses the type uuid.SafeUUID" in done.stderr
    assert "'t'" in done.stderr
    with LmdbSaver(tmp_path / "store") as target:
        assert target.get_tuple(at_thread("t")) is None
    run(*command)
    with LmdbSaver(tmp_path / "store") as target:
        found = target.get_tuple(at_thread("t"))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"level": [SafeUUID.safe]}


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("missing", "store", "the path is neither the folder of a store nor a SQLite file"),
        ("postgresql://localhost:1/x", "store", "PostgreSQL cannot be reached"),
        ("FILE", "postgresql://localhost:1/x", "PostgreSQL cannot be reached"),
        ("FILE", "missing/a.sqlite", "a database failed: OperationalError"),
        ("FILE", "store --thread missing", "the source does not have the thread"),
        ("FILE", "store --workers 0", "workers must be a number above 0, got 0"),
    ],
)
def test_an_error_is_one_line(
    source: str, target: str, text: str, sqlite_file: Path, tmp_path: Path
) -> None:
    name, *options = target.split()
    where = name if name.startswith("postgresql") else tmp_path / name
    done = run("migrate", source.replace("FILE", str(sqlite_file)), where, *options, status=2)
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
