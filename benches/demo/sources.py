"""The data of the agent's tools: the source files of the standard library."""

from __future__ import annotations

import ast
import re
import sysconfig
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

STDLIB = Path(sysconfig.get_paths()["stdlib"])

# Tests, generated tables and applications are larger than the code that people import.
NOT_SURVEYED = {"encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter"}
NOT_SURVEYED |= {"__phello__", "distutils", "site-packages", "turtledemo", "venv"}

# CPython 3.11 may raise SystemError when two threads parse in parallel (python/cpython#106905).
_PARSER = threading.Lock()

_TODO = re.compile(r"#.*\b(TODO|FIXME|XXX)\b")
_BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.BoolOp, ast.IfExp)


class Function(NamedTuple):
    """A function or method."""

    name: str
    file: str
    line: int
    lines: int
    branches: int


class Survey(NamedTuple):
    """The measurements of a package."""

    package: str
    files: int
    lines: int
    todos: int
    functions: list[Function]
    imports: dict[str, int]


def packages(count: int) -> list[str]:
    """Return the largest packages of the standard library, largest first."""
    found = (
        path.parent for path in STDLIB.glob("*/__init__.py") if path.parent.name not in NOT_SURVEYED
    )
    size = {path.name: sum(file.stat().st_size for file in _files(path.name)) for path in found}
    return sorted(size, key=lambda name: (-size[name], name))[:count]


def survey(package: str) -> Survey:
    """Measure every function of a package and count what it imports."""
    lines = todos = 0
    functions: list[Function] = []
    imports: Counter[str] = Counter()
    files = _files(package)
    for file in files:
        text = _text(file)
        lines += text.count("\n")
        todos += len(_TODO.findall(text))
        tree = _parse(text)
        functions += _functions(tree, file)
        imports.update(_imports(tree) - {package})
    functions.sort(key=lambda function: (-function.lines, function.file, function.line))
    return Survey(package, len(files), lines, todos, functions[:40], dict(imports.most_common()))


def function_source(file: str, line: int, lines: int) -> str:
    """Return the text of one function."""
    text = _text(STDLIB / file).split("\n")  # some sources have form feeds
    return "\n".join(text[line - 1 : line - 1 + lines])


def depth(text: str) -> int:
    """Return the nesting depth of the statements of a function."""
    statements = ast.walk(_parse(textwrap.dedent(text)))
    return max(node.col_offset for node in statements if isinstance(node, ast.stmt)) // 4


def importers(module: str, inside: list[str]) -> list[str]:
    """Return the files of the given packages that import a module."""
    mention = re.compile(rf"\b(?:from|import)\b[^#\n]*\b{re.escape(module)}\b")  # parsing is slow
    texts = ((file, _text(file)) for package in inside for file in _files(package))
    return [
        file.relative_to(STDLIB).as_posix()
        for file, text in texts
        if mention.search(text) and module in _imports(_parse(text))
    ]


def _parse(text: str) -> ast.Module:
    with _PARSER:
        return ast.parse(text)


def _files(package: str) -> list[Path]:
    return sorted(
        file
        for file in (STDLIB / package).rglob("*.py")
        if not {"test", "tests", "__pycache__"} & set(file.parts[len(STDLIB.parts) :])
    )


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _imports(tree: ast.AST) -> set[str]:
    """Return the top-level modules that a source file imports."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.partition(".")[0])
    return modules


def _functions(tree: ast.AST, file: Path, owner: str = "") -> Iterator[Function]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            branches = sum(isinstance(inner, _BRANCHES) for inner in ast.walk(node))
            yield Function(
                owner + node.name,
                file.relative_to(STDLIB).as_posix(),
                node.lineno,
                (node.end_lineno or node.lineno) - node.lineno + 1,
                branches,
            )
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, file, f"{owner}{node.name}.")
