"""The commands that change a store: what they do, and what they ask first."""

from __future__ import annotations

import json
import shutil
import subprocess
import textwrap
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.cli.conftest import COMMAND, environment, run, run_json
from tests.views import graphs

if TYPE_CHECKING:
    from pathlib import Path

GRAPH = """
    import operator
    import os
    from typing import Annotated, TypedDict

    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt


    class State(TypedDict, total=False):
        log: Annotated[list, operator.add]
        document: str


    def publish(state):
        if "TOKEN" not in os.environ:
            raise ValueError("no token")
        return {"log": ["published"]}


    failed = StateGraph(State)
    failed.add_node("prepare", lambda _: {"log": ["prepared"]})
    failed.add_node("publish", publish)
    failed.add_edge(START, "prepare")
    failed.add_edge("prepare", "publish")

    asking = StateGraph(State).add_node("ask", lambda _: {"log": [interrupt("Publish?")]})
    asking = asking.add_edge(START, "ask")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a module of graphs."""
    (tmp_path / "my_graphs.py").write_text(textwrap.dedent(GRAPH))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(store: Path, *options: str) -> set[str]:
    return {one["thread_id"] for one in run_json("threads", store, *options)}


def test_a_failed_run_is_found_forked_and_resumed(copied: Path, folder: Path) -> None:
    """The way of a user: which run failed, what did its last step change, try again before it."""
    assert ids(copied, "--state", "failed") == {"failed"}
    assert "+ [0] prepared" in run("diff", copied, "failed").stdout
    run("fork", copied, "failed", "again", "--at", "~1", new=True)
    (fork,) = run_json("threads", copied, "--prefix", "again")
    assert (fork["step"], fork["state"]) == (0, "stalled")
    (result,) = run_json(
        "resume", copied, "again", "--graph", "my_graphs:failed", new=True, TOKEN="secret"
    )
    assert (result["status"], result["completed"]) == ("success", True)
    (step,) = run_json("show", copied, "again")
    (log,) = (one for one in step["channels"] if one["name"] == "log")
    assert log["value"] == ["prepared", "published"]


def test_resume_reports_an_error(copied: Path, folder: Path) -> None:
    done = run("resume", copied, "failed", "--graph", "my_graphs:failed", status=1)
    assert "error, not complete" in done.stdout
    assert "no token" in done.stdout
    assert "not_found" in run("resume", copied, "x", "--graph", "my_graphs:failed", status=1).stdout
    assert (
        "--graph must be"
        in run("resume", copied, "failed", "--graph", "my_graphs:missing", status=2).stderr
    )


def test_resume_answers_an_interrupt(copied: Path, folder: Path) -> None:
    with LmdbSaver(copied) as saver:
        graphs.asked(saver, "asked")
    answer = ("--answer", '{"ok": true}')
    (result,) = run_json("resume", copied, "asked", "--graph", "my_graphs:asking", *answer)
    assert result["completed"]
    (step,) = run_json("show", copied, "asked")
    assert {"ok": True} in next(one["value"] for one in step["channels"] if one["name"] == "log")


def test_recover_resumes_stalled_runs(copied: Path, folder: Path) -> None:
    run("fork", copied, "failed", "again", "--at", "~1")
    run("delete", copied, "forked", "--yes")
    results = run_json(
        "recover", copied, "--graph", "my_graphs:failed", "--min-age", "0", new=True, TOKEN="secret"
    )
    assert [(one["thread_id"], one["completed"]) for one in results] == [("again", True)]


def test_runs_counts_states(filled: Path) -> None:
    (report,) = run_json("runs", filled)
    assert report["counts"]["complete"] == 3
    assert report["counts"]["failed"] == report["counts"]["waiting"] == 1
    (late,) = run_json("runs", filled, "--stuck-after", "0")
    assert {one["thread_id"] for one in late["stuck"]} == {"failed", "forked"}
    assert "stuck failed" in run("runs", filled, "--stuck-after", "0").stdout


def test_copy_copies_a_thread(copied: Path) -> None:
    run("copy", copied, "chat", "twin", new=True)
    (chat,) = run_json("show", copied, "chat")
    (twin,) = run_json("show", copied, "twin")
    assert twin["channels"] == chat["channels"]
    assert "the target exists" in run("copy", copied, "delta", "twin", status=2).stderr


def test_set_ttl_and_sweep(copied: Path) -> None:
    run("set-ttl", copied, "chat", "0.00001", new=True)
    run("set-ttl", copied, "delta", "never")
    assert run_json("sweep", copied, "--dry-run")[0]["threads"] == 1
    assert run_json("sweep", copied, "--yes", new=True)[0]["threads"] == 1
    assert "chat" not in ids(copied)
    assert "MINUTES must be" in run("set-ttl", copied, "delta", "soon", status=2).stderr


@pytest.mark.parametrize("command", ["sweep", "prune", "delete"])
def test_nothing_is_destroyed_without_a_yes(copied: Path, command: str) -> None:
    arguments = [command, copied] + ([] if command == "sweep" else ["chat"])
    run("set-ttl", copied, "chat", "10000")
    before = run("threads", copied, "--json").stdout
    assert "Pass --yes" in run(*arguments, status=2).stderr
    run(*arguments, "--dry-run")
    assert run("threads", copied, "--json").stdout == before


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_prune_counts_what_it_deletes(copied: Path, keep: int) -> None:
    """The namespaces of subgraph calls count, too."""
    names = ("forked", "chat", "delta", "waiting")
    before = {one["thread_id"]: one["checkpoints"] for one in run_json("threads", copied)}
    options = ("--keep-last", str(keep))
    planned = run_json("prune", copied, *names, *options, "--dry-run")
    done = run_json("prune", copied, *names, *options, "--yes")
    after = {one["thread_id"]: one["checkpoints"] for one in run_json("threads", copied)}
    counts = {name: before[name] - after[name] for name in names}
    for report in (planned, done):
        assert {one["thread_id"]: one["checkpoints"] for one in report} == counts
    assert counts["forked"] > 0


def test_prune_keeps_the_last_checkpoints(copied: Path) -> None:
    (planned,) = run_json("prune", copied, "chat", "--keep-last", "3", "--dry-run")
    (done,) = run_json("prune", copied, "chat", "--keep-last", "3", "--yes", new=True)
    assert planned["checkpoints"] == done["checkpoints"] == 7
    assert len(run_json("history", copied, "chat")) == 3
    assert run_json("show", copied, "chat")[0]["state"] == "complete"


def test_delete_deletes_threads(copied: Path) -> None:
    run("delete", copied, "chat", "delta", "--yes", new=True)
    assert not ids(copied) & {"chat", "delta"}
    done = run("delete", copied, "forked", "missing", "--yes", status=2)
    assert "'missing'" in done.stderr
    assert "forked" in ids(copied)


def test_backup_and_compact(copied: Path, tmp_path: Path) -> None:
    run("backup", copied, tmp_path / "saved", new=True)
    assert ids(tmp_path / "saved") == ids(copied)
    assert run("verify", tmp_path / "saved", new=True).stdout.endswith("ok\n")
    (freed,) = run_json("compact", copied, new=True)
    assert freed["bytes"] >= 0


def test_export_and_import_through_a_pipe(copied: Path, tmp_path: Path) -> None:
    lines = run("export", copied, "--lossless", new=True).stdout
    done = subprocess.run(
        [*COMMAND, "import", str(tmp_path / "new"), "--json"],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert json.loads(done.stdout) == {"threads": 6, "checkpoints": 42}
    assert run("export", tmp_path / "new", "--lossless").stdout == lines
    assert run("export", tmp_path / "new").stdout == run("export", copied).stdout
    error = run("import", copied, tmp_path / "missing", status=2).stderr
    assert "No such file" in error


def test_export_for_people_has_what_show_shows(filled: Path) -> None:
    exported = run_json("export", filled, "--thread", "chat", "--thread", "delta")
    assert [one["step"] for one in exported if one["thread_id"] == "chat"] == [*range(-1, 9)]
    for thread in ("chat", "delta"):
        (latest,) = run_json("show", filled, thread)
        assert [one for one in exported if one["thread_id"] == thread][-1] == latest
    assert (
        "the thread has no checkpoints"
        in run("export", filled, "--thread", "missing", status=2).stderr
    )


def test_commands_that_look_do_not_write(filled: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(filled, store)
    before = (store / "data.mdb").read_bytes()
    for command in (
        ["threads"],
        ["tree", "chat"],
        ["show", "chat"],
        ["stats"],
        ["runs"],
        ["sweep", "--dry-run"],
    ):
        run(command[0], store, *command[1:])
    assert (store / "data.mdb").read_bytes() == before
