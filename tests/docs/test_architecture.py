"""The page of modules lists every module, and links to code lead to code that exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.docs.pages import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "design" / "architecture.md"
MODULES = ROOT / "docs" / "design" / "modules.md"
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "langgraph" / "checkpoint" / "lmdb"
WALKS = ("Walk: a put to the disk", "Walk: a full disk", "Walk: a TTL sweep")


class CodeLink(NamedTuple):
    """A link to a module.

    Attributes:
        section: The heading above the link.
        name: The text of the link: the file name, or a qualified name in the module.
        file: The module.
    """

    section: str
    name: str
    file: Path


def code_links(page: Path) -> list[CodeLink]:
    """Return the links of a page to modules, in reading order."""
    found, section = [], ""
    for match in re.finditer(
        r"^#+ (.*)$|\[`([^`]+)`\]\(([^)#]+\.py)\)", page.read_text("utf-8"), re.MULTILINE
    ):
        heading, name, target = match.groups()
        if heading is None:
            found.append(CodeLink(section, name, (page.parent / target).resolve()))
        else:
            section = heading
    return found


@cache
def definitions(file: Path) -> frozenset[str]:
    """Return the qualified names of the classes, methods and functions of a module."""
    return frozenset(_definitions(ast.parse(file.read_text("utf-8")).body, ""))


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, f"{prefix}{node.name}.")


def broken_code_links(page: Path) -> list[str]:
    """Return the code links of a page whose module is missing or does not define the name."""
    return [
        f"{link.name} in {link.file.name}"
        for link in code_links(page)
        if not link.file.is_file()
        or (link.name != link.file.name and link.name not in definitions(link.file))
    ]


def modules() -> list[Path]:
    """Return the modules of the package, and its `__init__.py` if it defines something."""
    return sorted(
        file
        for file in SOURCE.rglob("*.py")
        if file.name != "__init__.py" or file.parent == PACKAGE or definitions(file)
    )


def layers() -> dict[str, int]:
    """Return the number of the layer of each top-level module or folder; 0 is the highest."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(r'"Imports point downward".*?layers = \[(.*?)\]', text, re.DOTALL)
    assert found is not None
    return {
        name: number
        for number, names in enumerate(re.findall(r'"(.*?)"', found[1]))
        for name in re.split(r"\s*\|\s*", names)
    }


def test_every_module_has_one_line() -> None:
    rows = [link.file for link in code_links(MODULES) if link.name == link.file.name]
    assert Counter(rows) == Counter(modules())


def test_every_line_says_something() -> None:
    rows = re.findall(r"^\| \[`(.*?)`\]\(.*?\) \|(.*)\|$", MODULES.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len(modules())
    assert [name for name, text in rows if len(text.split()) < 2] == []


@pytest.mark.parametrize("page", [PAGE, MODULES], ids=lambda page: page.name)
def test_links_lead_to_code(page: Path) -> None:
    assert broken_code_links(page) == []


@pytest.mark.parametrize("walk", WALKS)
def test_walk_has_links(walk: str) -> None:
    assert sum(link.section == walk for link in code_links(PAGE)) >= 8


def test_arrows_of_the_picture_point_downward() -> None:
    (picture,) = (block.text for block in blocks(PAGE) if block.language == "mermaid")
    boxes = set(re.findall(r'^ +(\w+)\["', picture, re.MULTILINE))
    arrows = re.findall(r"^ +(\w+) --> (\w+)$", picture, re.MULTILINE)
    layer = layers()
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders < boxes <= layer.keys()
    assert {name for arrow in arrows for name in arrow} == boxes
    assert [arrow for arrow in arrows if layer[arrow[0]] >= layer[arrow[1]]] == []


def test_broken_code_links_are_found(tmp_path: Path) -> None:
    module = "class C:\n    def method(self): ...\ndef function(): ...\n"
    (tmp_path / "module.py").write_text(module)
    page = tmp_path / "page.md"
    page.write_text(
        "# Top\n[`module.py`](module.py) [`C`](module.py) [`C.method`](module.py)\n"
        "[`function`](module.py) [`method`](module.py)\n## Sub\n[`x`](missing.py)\n"
    )
    assert broken_code_links(page) == ["method in module.py", "x in missing.py"]
    assert [link.section for link in code_links(page)] == ["Top"] * 5 + ["Sub"]
