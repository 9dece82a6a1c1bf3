"""Console blocks of a page: command lines after `$`, each with the output that it printed.

`python -m tests.docs.console PAGE` runs the page, and writes the output into it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from unittest import mock

from langgraph.checkpoint.lmdb.cli.main import main
from tests.docs.pages import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT = "$ "
_COMMAND = "langgraph-lmdb"
_FILE = re.compile(r"# (\w+)\.py\n")
_TOPICS = "versions|file system|free space|files|disk|map"
"""Topics of a diagnosis that depend on the machine."""
_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DAY"),
    (re.compile(r"\b[\d.]+ ([KMG]?B|times)\b|(?<=bytes\": )\d+"), "SIZE"),
    (re.compile(rf"(?m)^(?:ok|advice) +({_TOPICS}) .*(?:\n {{8}}.*)?"), r"\1"),
    (re.compile(r" +"), " "),
)
"""Parts of an output that differ from run to run."""
_ID = re.compile(r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-)?[0-9a-f]{8,12}\b")


def run_page(page: Path) -> Iterator[tuple[str, str, str]]:
    """Run a page in the working folder; yield each command with its output in the page and now.

    A block of Python that begins with the name of a file is also written to that file.
    """
    variables = ModuleType("page_of_the_documentation")
    written = []
    sys.modules[variables.__name__] = variables  # LangGraph looks up type hints there
    try:
        for block in blocks(page):
            if block.language == "python":
                exec(compile(block.text, str(page), "exec"), vars(variables))
                if named := _FILE.match(block.text):
                    Path(f"{named[1]}.py").write_text(block.text)
                    written.append(named[1])
            elif block.language == "console":
                for command, expected in commands(block.text):
                    yield command, expected, output_of(command)
    finally:
        for name in (variables.__name__, *written):
            sys.modules.pop(name, None)


def commands(text: str) -> list[tuple[str, str]]:
    """Return the command lines of a console block, each with its output."""
    found = []
    for part in re.split(rf"^{re.escape(PROMPT)}", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output.rstrip("\n")))
    return found


def output_of(command: str) -> str:
    """Run a command line of the package in this process, and return what it prints."""
    words = shlex.split(command)
    start = words.index(_COMMAND)
    variables = dict(word.split("=", 1) for word in words[:start])
    out = io.StringIO()
    with (
        mock.patch.dict(os.environ, {**variables, "COLUMNS": "110", "TZ": "UTC"}),
        contextlib.redirect_stdout(out),
    ):
        status = main(words[start + 1 :])
    assert status == 0, f"{command} exited with {status}"
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").splitlines())


def stable(output: str, ids: dict[str, str]) -> str:
    """Return an output without what differs from run to run.

    Args:
        output: The output.
        ids: Names of the ids that the page had so far, which is extended.
    """
    for pattern, name in _CHANGING:
        output = pattern.sub(name, output)
    return _ID.sub(lambda found: ids.setdefault(found[0][-8:], f"ID{len(ids)}"), output)


def rewrite(page: Path) -> None:
    """Run a page, and write the output of its commands into it."""
    text = page.read_text("utf-8")
    done = 0
    folder = Path.cwd()
    with tempfile.TemporaryDirectory() as working:
        os.chdir(working)
        try:
            for command, expected, found in run_page(page):
                old = f"{PROMPT}{command}\n" + (f"{expected}\n" if expected else "")
                start = text.index(old, done)
                new = f"{PROMPT}{command}\n{found}\n"
                text = text[:start] + new + text[start + len(old) :]
                done = start + len(new)
        finally:
            os.chdir(folder)
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]).resolve())
