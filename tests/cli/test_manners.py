"""Pipes and terminals, signals, errors, the environment, and what the command imports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.cli import exit_codes
from langgraph.checkpoint.lmdb.cli.app import load
from langgraph.checkpoint.lmdb.cli.table import COMMANDS, GROUPS, module_of
from tests.cli.conftest import COMMAND, environment, on_terminal, run, run_json
from tests.docs.pages import ROOT
from tests.views import graphs

if TYPE_CHECKING:
    from pathlib import Path


def test_colors_on_a_terminal_only(filled: Path) -> None:
    status, colored = on_terminal("threads", filled)
    assert status == 0
    assert "\x1b[31mfailed" in colored
    assert "\x1b[31m" not in on_terminal("threads", filled, NO_COLOR="1")[1]
    assert "\x1b" not in run("threads", filled).stdout


def test_tables_fit_the_terminal(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store") as saver:
        graphs.failed(saver, text="long " * 100)
    output = on_terminal("threads", tmp_path / "store", NO_COLOR="1")[1]
    lines = re.sub(r"\x1b\[\d*m", "", output).splitlines()
    assert lines[1].split()[:2] == ["failed", "failed"]
    assert max(map(len, lines)) <= 100
    assert max(map(len, run("threads", tmp_path / "store").stdout.splitlines())) > 400


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 1)])
def test_a_terminal_is_asked_before_a_deletion(copied: Path, answer: str, status: int) -> None:
    found, output = on_terminal("delete", copied, "chat", answer=answer)
    assert (found, "Delete chat?" in output) == (status, True)
    left = {one["thread_id"] for one in run_json("threads", copied)}
    assert ("chat" in left) == (status == 1)


def test_a_closed_pipe_ends_the_command_quietly(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        graphs.failed(saver, text="x" * 300_000)  # more than a pipe holds
    process = subprocess.Popen(
        [*COMMAND, "show", str(tmp_path / "store"), "failed", "--full"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_watch_prints_changes_beside_a_writer_until_ctrl_c(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        graphs.chat(saver)
        process = subprocess.Popen(
            [*COMMAND, "watch", str(tmp_path / "store"), "--interval", "0.05", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["thread_id"] == "chat"
        graphs.waiting(saver)
        states = []
        while not states or states[-1] != "waiting":
            found = json.loads(process.stdout.readline())
            assert found["thread_id"] == "waiting"
            states.append(found["state"])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")


def test_the_environment_names_the_store(filled: Path) -> None:
    store = {"LANGGRAPH_LMDB_STORE": str(filled)}
    assert run("threads", **store).stdout == run("threads", filled).stdout
    assert run("show", "chat", "3", **store).stdout == run("show", filled, "chat", "3").stdout
    assert "STORE" not in run("threads", "--help", **store).stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["threads"], "Missing argument"),
        (["threads", "missing"], "there is no store here"),
        (["threads", "FILLED", "--state", "odd"], "--state must be one of"),
        (["threads", "FILLED", "--sort", "odd"], "--sort must be one of"),
        (["threads", "FILLED", "--metadata", "odd"], "--metadata must be KEY=VALUE"),
        (["threads", ":memory:"], "a store in memory ends"),
        (["threads", "postgresql://localhost:1/x"], "PostgreSQL cannot be reached"),
        (["show", "FILLED", "missing"], "the thread has no checkpoints"),
        (["show", "FILLED", "chat", "99"], "no checkpoint matches '99'"),
        (["show", "FILLED", "chat", "1f1e"], "match"),
        (["tree", "FILLED", "missing"], "the thread has no checkpoints"),
        (["grep", "FILLED", "("], "PATTERN is not a regular expression"),
        (["odd"], "No such command"),
        (["threads", "FILLED", "--odd"], "No such option"),
    ],
)
def test_an_error_is_one_line(filled: Path, arguments: list[str], text: str) -> None:
    done = run(*(str(filled) if one == "FILLED" else one for one in arguments), status=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("langgraph-lmdb: ")
    assert text in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["show", "chat"], 0), (["threads", "--json"], 0), (["show", "missing"], 2), (["verify"], 0)],
)
def test_a_forked_run_is_like_one_of_a_new_interpreter(
    filled: Path, arguments: list[str], status: int
) -> None:
    name, *others = arguments
    forked, new = (run(name, filled, *others, status=status, new=new) for new in (False, True))
    assert (forked.stdout, forked.stderr) == (new.stdout, new.stderr)


def test_commands_that_write_create_no_store(tmp_path: Path) -> None:
    for command in (["sweep", "--yes"], ["delete", "t", "--yes"], ["compact"], ["copy", "a", "b"]):
        run(command[0], tmp_path / "none", *command[1:], status=2)
    assert list(tmp_path.iterdir()) == []


def test_control_characters_are_escaped(tmp_path: Path) -> None:
    store, thread = tmp_path / "store", f"thread {graphs.HOSTILE}"
    with LmdbSaver(store, sync="off") as saver:
        graphs.failed(saver, thread, graphs.HOSTILE)
    commands: list[list[str]] = [
        ["threads"],
        ["history", thread],
        ["tree", thread],
        ["show", thread],
        ["diff", thread],
        ["grep", "evil"],
        ["stats"],
        ["runs", "--stuck-after", "0"],
        ["delete", thread, "--dry-run"],
        ["verify"],
    ]
    for name, *arguments in commands:
        output = run(name, store, *arguments).stdout
        assert not {"\x1b", "\x07", "\u202e"} & {*output}, name
        assert all(line.isascii() for line in run(name, store, *arguments, "--json").stdout)
    assert "\\x1b[2J" in run("show", store, thread).stdout
    error = run("show", store, f"missing {graphs.HOSTILE}", status=2).stderr
    assert not {"\x1b", "\x07", "\u202e"} & {*error}


def test_an_encrypted_store_is_read_with_the_key_of_the_environment(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = "k" * 32
    with LmdbSaver(tmp_path / "store", encryption_key=key.encode(), sync="off") as saver:
        graphs.chat(saver)
    (thread,) = run_json("threads", tmp_path / "store", LANGGRAPH_AES_KEY=key)
    assert thread["thread_id"] == "chat"
    assert "LANGGRAPH_AES_KEY" in run("threads", tmp_path / "store", status=2).stderr


def test_a_damaged_store_says_what_to_do(copied: Path) -> None:
    data = bytearray((copied / "data.mdb").read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    (copied / "data.mdb").write_bytes(data)
    (report,) = run_json("verify", copied, status=1)
    assert not report["ok"]
    assert report["counts"]["pages"]


def test_nothing_that_a_store_names_is_imported(tmp_path: Path) -> None:
    """A value of a class whose module would end the process is shown by its name."""
    module = tmp_path / "trap.py"
    module.write_text("class Trap:\n    def __init__(self, **fields): vars(self).update(fields)\n")
    writer = (
        "import dataclasses, trap, sys\n"
        "from langgraph.checkpoint.lmdb import LmdbSaver\n"
        "from langgraph.checkpoint.base import empty_checkpoint\n"
        "Trap = dataclasses.make_dataclass('Trap', ['secret'], namespace={'__module__': 'trap'})\n"
        "Trap.__module__ = 'trap'\n"
        "with LmdbSaver(sys.argv[1]) as saver:\n"
        "    checkpoint = empty_checkpoint()\n"
        "    checkpoint['channel_values'] = {'value': Trap('inside')}\n"
        "    checkpoint['channel_versions'] = {'value': 1}\n"
        "    config = {'configurable': {'thread_id': 't', 'checkpoint_ns': ''}}\n"
        "    saver.put(config, checkpoint, {'step': 1}, {'value': 1})\n"
    )
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    subprocess.run(
        [sys.executable, "-c", writer, str(tmp_path / "store")],
        check=True,
        env=environment(PYTHONPATH=path),
    )
    module.write_text("import os; os._exit(99)\n")
    (step,) = run_json("show", tmp_path / "store", "t", PYTHONPATH=path)
    (channel,) = step["channels"]
    assert channel["value"] == {"$type": "trap.Trap", "$value": {"secret": "inside"}}
    for command in (["show", "t"], ["diff", "t"], ["tree", "t"], ["grep", "inside"], ["runs"]):
        assert run(command[0], tmp_path / "store", *command[1:], PYTHONPATH=path).stdout


def loaded(*arguments: str | Path) -> set[str]:
    """Return the modules that a command imports."""
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "langgraph.checkpoint.lmdb",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}


def test_help_imports_no_saver() -> None:
    modules = loaded("--help")
    assert "typer" in modules
    assert not modules & {"langgraph.checkpoint.base", "langchain_core", "lmdb", "rich", "pydantic"}


def test_a_command_imports_only_what_it_needs(filled: Path) -> None:
    modules = loaded("threads", filled)
    assert "langgraph.checkpoint.lmdb.saver" in modules
    assert not modules & {
        "langgraph.graph",
        "langgraph.pregel",
        "langgraph.checkpoint.lmdb.workflows",
        "langgraph.checkpoint.lmdb.snapshots",
        "tenacity",
        "filelock",
        "numpy",
        "rich.markdown",
        "rich.syntax",
        "pygments",
    }
    others = {
        f"langgraph.checkpoint.lmdb.cli.commands.{module_of(name)}"
        for name in GROUPS
        if name != "threads"
    }
    assert not modules & others


@pytest.mark.parametrize("name", GROUPS)
def test_help_of_a_command_begins_as_in_the_list(name: str) -> None:
    module = import_module(f"langgraph.checkpoint.lmdb.cli.commands.{module_of(name)}")
    assert module.command.__doc__.splitlines()[0] == COMMANDS[GROUPS[name]][name]


@pytest.mark.parametrize("name", GROUPS)
def test_every_command_prints_json(name: str) -> None:
    assert "--json" in {option for param in load(name).params for option in param.opts}


def test_exit_statuses_are_documented() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    table = reference.partition("| exit status |")[2].partition("\n\n")[0]
    documented = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    statuses = {value for name, value in vars(exit_codes).items() if name.isupper()}
    assert {int(one) for row in documented for one in row.split(",")} == statuses
    assert all(str(status) in run("--help").stdout for status in (0, 1, 2, 130))


def test_progress_is_shown_on_a_terminal_only(filled: Path, tmp_path: Path) -> None:
    status, shown = on_terminal("export", filled, tmp_path / "one.jsonl")
    assert status == 0
    assert "export" in shown
    assert "checkpoints" in shown
    done = run("export", filled, tmp_path / "two.jsonl")
    assert done.stdout == done.stderr == ""
    assert (tmp_path / "one.jsonl").read_text() == (tmp_path / "two.jsonl").read_text()


def test_one_line_without_the_extra(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ImportError('no typer')\n")
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    done = run("threads", "store", status=2, PYTHONPATH=path)
    assert done.stderr == (
        'langgraph-lmdb: the command line needs: pip install "langgraph-lmdb[cli]"\n'
    )


def test_reads_a_store_that_another_process_writes(filled: Path, tmp_path: Path) -> None:
    store = shutil.copytree(filled, tmp_path / "store")
    with LmdbSaver(store, sync="off") as saver:
        for number in range(3):
            graphs.chat(saver, f"live-{number}")
            assert len(run_json("threads", store, "--prefix", "live-")) == number + 1
