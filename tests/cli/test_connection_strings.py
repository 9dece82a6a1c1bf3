"""Commands on a store in PostgreSQL, which a connection string names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from langgraph.checkpoint.lmdb.cli.main import main
from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.opening import open_saver
from langgraph.checkpoint.lmdb.workflows import PostgresLockManager
from tests import servers
from tests.cli.conftest import run, run_json
from tests.servers import SECRET
from tests.views import graphs
from tests.workflows.steps import Steps, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRAPH = "tests.cli.test_connection_strings:recovering"


def recovering() -> Any:
    """Return a graph of three nodes."""
    return Steps().builder


@pytest.fixture(scope="module")
def store(postgres: str) -> Iterator[str]:
    """The connection string of a store with a thread of some graphs."""
    with servers.database(postgres) as conninfo:
        name = f"{conninfo}&schema=agents"
        steps = Steps()
        with open_saver(name) as saver:
            graphs.chat(saver)  # type: ignore[arg-type]
            steps.leave_failed(saver, "failed")
            steps.leave_crashed(saver, "crashed")
            steps.leave_waiting(saver, "waiting")
        yield name


def command(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """Run a command in this process, and return what it printed."""
    found = main(arguments)
    printed = capsys.readouterr()
    assert found == status, (found, printed)
    for text in printed:
        assert SECRET not in text
    return printed.out + printed.err


def test_commands_that_look(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = command(capsys, "threads", store, "--json")
    states = {found["thread_id"]: found["state"] for found in map(json.loads, listed.splitlines())}
    assert states == {
        "chat": "complete",
        "failed": "failed",
        "crashed": "stalled",
        "waiting": "waiting",
    }
    assert "messages" in command(capsys, "history", store, "chat")
    assert "(latest)" in command(capsys, "show", store, "chat")
    assert "(current)" in command(capsys, "tree", store, "chat")
    assert "messages" in command(capsys, "diff", store, "chat")
    assert "Oslo" in command(capsys, "grep", store, "Oslo")
    assert "largest threads" in command(capsys, "stats", store)
    assert "stuck" not in command(capsys, "runs", store)
    assert "chat" in command(capsys, "export", store, "-", "--thread", "chat")
    assert command(capsys, "verify", store)
    assert "would delete" in command(capsys, "sweep", store, "--dry-run")
    assert "would" in command(capsys, "prune", store, "chat", "--dry-run")
    assert "would" in command(capsys, "delete", store, "chat", "--dry-run")


def test_running_threads_are_shown(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    with PostgresLockManager(store.replace("&schema=agents", "")) as locks:
        assert locks.acquire(run_lock("crashed"))
        listed = command(capsys, "threads", store, "--state", "running", "--json")
        (found,) = map(json.loads, listed.splitlines())
        assert found["thread_id"] == "crashed"
        assert '"running"' in command(capsys, "show", store, "crashed", "--json")


def test_commands_that_act(
    store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, database: str
) -> None:
    command(capsys, "fork", store, "chat", "forked", "--at", "~2")
    command(capsys, "copy", store, "chat", "copied")
    command(capsys, "set-ttl", store, "copied", "never")
    command(capsys, "prune", store, "copied", "--yes")
    command(capsys, "sweep", store, "--yes")
    command(capsys, "delete", store, "copied", "forked", "--yes")
    command(capsys, "verify", store, "--repair")
    file = tmp_path / "export"
    command(capsys, "export", store, str(file), "--lossless")
    imported = command(capsys, "import", database, str(file), "--json")
    assert json.loads(imported)["threads"] == 4
    resumed = command(capsys, "resume", store, "failed", "--graph", GRAPH, "--json")
    assert json.loads(resumed)["status"] == "success"
    recovered = command(capsys, "recover", store, "--graph", GRAPH, "--min-age", "0", "--json")
    assert [json.loads(line)["thread_id"] for line in recovered.splitlines()] == ["crashed"]
    with open_saver(store) as saver:
        state = Steps().compile(saver).get_state(at("crashed"))
        assert state.values["ran"] == ["first", "second", "third"]
    report = command(capsys, "migrate", store, str(tmp_path / "folder"), "--json")
    assert json.loads(report)["differences"] == []
    back = command(capsys, "migrate", str(tmp_path / "folder"), f"{database}&schema=back", "--json")
    assert json.loads(back)["copied_checkpoints"] > 0


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("doctor", [], "doctor needs the folder of a store"),
        ("recover-pages", ["target"], "recover-pages needs the folder of a store"),
        ("backup", ["target"], "no files to back up"),
        ("compact", [], "no files to compact"),
    ],
)
def test_what_needs_files_is_one_clear_error(
    store: str, name: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = command(capsys, name, store, *arguments, status=2)
    assert message in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("name", ["threads", "stats", "verify", "runs"])
def test_database_without_a_store_gets_none(
    database: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = command(capsys, name, database, status=2)
    assert "the database has no store in the schema 'langgraph_compact'" in printed
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname ~ 'langgraph'")
        assert found.fetchone() is None


def test_command_is_a_process(store: str) -> None:
    found = run_json("threads", LANGGRAPH_LMDB_STORE=store)
    assert "chat" in {thread["thread_id"] for thread in found}
    done = run("threads", f"postgresql://u:{SECRET}@127.0.0.1:1/d", status=2)
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr


def test_folder_needs_no_driver(filled: Path) -> None:
    code = (
        "import sys; from langgraph.checkpoint.lmdb.cli.main import main; "
        f"main(['threads', {str(filled)!r}, '--json']); "
        "sys.exit(any(name.startswith('psycopg') for name in sys.modules))"
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
