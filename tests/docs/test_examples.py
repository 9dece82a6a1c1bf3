"""Every code block of README.md and docs/ runs as it stands.

The Python blocks of a page share their variables, in reading order. Command lines of the package
run between them. The working folder is empty at the start of each page.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.cli.main import main
from tests.docs.pages import PAGES, README, ROOT, blocks, page_name

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.pages import Block

COMMAND = "langgraph-lmdb "
LANGUAGES = ("python", "console", "mermaid", "")


def run_page(page: Path) -> None:
    """Run the code blocks of a page in the working folder."""
    module = ModuleType("page_of_the_documentation")
    sys.modules[module.__name__] = module  # LangGraph looks up type hints there
    try:
        for block in blocks(page):
            if block.language == "python":
                # Line feeds in front make tracebacks show the line of the page.
                text = "\n" * (block.line - 1) + block.text
                exec(compile(text, str(page), "exec"), vars(module))
            else:
                run_commands(block)
    finally:
        del sys.modules[module.__name__]
        for value in vars(module).values():
            if isinstance(value, LmdbSaver):
                value.close()


def run_commands(block: Block) -> None:
    """Run the command lines of the package; those with placeholders are synopses."""
    for line in block.text.splitlines():
        if line.startswith(COMMAND) and not re.search(r"\[|\b[A-Z]{2,}\b", line):
            status = main(shlex.split(line.removeprefix(COMMAND), comments=True))
            assert status == 0, f"{line} exited with {status}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_code_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if "DATABASE_URL" in page.read_text("utf-8"):
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("schema").conninfo)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANGGRAPH_AES_KEY", raising=False)
    run_page(page)


def test_the_quick_start_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The comment says 4 messages, and 8 when the script runs again."""
    monkeypatch.chdir(tmp_path)
    script = next(block for block in blocks(README) if block.language == "python").text
    for expected in ("4", "8"):
        variables: dict[str, Any] = {"__name__": "__main__"}
        exec(script, variables)
        variables["saver"].close()
        assert capsys.readouterr().out.strip() == expected


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_no_block_escapes_by_its_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {*LANGUAGES}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_modules_and_make_targets_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(name) is not None, name
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"(?:^    |`)make ([a-z][a-z-]*)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_readme_has_the_commands_to_set_up() -> None:
    shell = "\n".join(block.text for block in blocks(README) if not block.language)
    for command in ("pip install .", "make demo", "make test"):
        assert re.search(rf"^{re.escape(command)}( |$)", shell, re.MULTILINE), command


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nfirst = 1\n```\n\n```python\nassert first == 2\n```\n", AssertionError),
        ("```python\nundefined\n```\n", NameError),
        (f"    {COMMAND}verify missing\n", AssertionError),
    ],
)
def test_a_broken_page_fails(
    text: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(error):
        run_page(page)


def test_savers_of_a_broken_page_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nfrom langgraph.checkpoint.lmdb import LmdbSaver\n"
        'saver = LmdbSaver("store")\nopened.append(saver)\n1 / 0\n```\n'
    )
    opened: list[LmdbSaver] = []
    monkeypatch.setattr("builtins.opened", opened, raising=False)
    with contextlib.suppress(ZeroDivisionError):
        run_page(page)
    with pytest.raises(ValueError, match="closed"):
        opened[0].stats()
