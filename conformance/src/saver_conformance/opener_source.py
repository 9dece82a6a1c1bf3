"""The source code that opens a saver, so that a program needs neither the spec nor the suite."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saver_conformance.spec import SaverSpec


@dataclass(frozen=True)
class OpenerSource:
    """The source code of an opener.

    Attributes:
        definitions: Imports and definitions that the opener needs.
        snippet: Lines that open the saver; see `SaverSpec.snippet`.
    """

    definitions: str
    snippet: str


def opener_source(spec: SaverSpec, statement: str) -> OpenerSource | None:
    """Return the source code of a spec's opener.

    Args:
        spec: Spec without a snippet.
        statement: Statement that opens the saver, with `{call}` for the call of the opener.

    Returns:
        Source code; None if the opener needs more than the definitions of its module.
    """
    has_own_reopening = spec.reopen not in (None, spec.open)
    if has_own_reopening or spec.lifespan is not nullcontext or spec.shared_store:
        return None
    found = _found(spec)
    if found is None:
        return None
    definitions, name = found
    call = f"{name}(Path(path){{, serde}})" if spec.takes_serde else f"{name}(Path(path))"
    opening = f"from pathlib import Path\n{statement.replace('{call}', call)}"
    return OpenerSource(definitions, opening)


def _found(spec: SaverSpec) -> tuple[str, str] | None:
    """Return the definitions that an opener needs, and the expression of the opener."""
    # A decorated function, for example with `contextmanager`, is a closure around its own.
    opener: Any = inspect.unwrap(spec.open)
    qualified = getattr(opener, "__qualname__", "")
    module = sys.modules.get(getattr(opener, "__module__", ""))
    if module is None or getattr(opener, "__closure__", None) or not qualified:
        return None
    own = spec.origin.partition(":")[0] if spec.origin else module.__name__
    root = qualified.partition(".")[0]
    if module.__name__ != own and "<" not in qualified:
        return f"from {module.__name__} import {root}", qualified
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return None
    bound = {name: node for node in tree.body for name in _names_bound_by(node)}
    if qualified == "<lambda>":
        line = opener.__code__.co_firstlineno
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno == line]
        if len(nodes) != 1:
            return None
        last = f"open_saver = {ast.unparse(nodes[0])}"
        return "\n".join([*_sources(bound, nodes[0], module), last]), "open_saver"
    if "<" in qualified or root not in bound:
        return None
    return "\n".join(_sources(bound, ast.Name(root), module)), qualified


def _sources(bound: dict[str, ast.stmt], start: ast.AST, module: Any) -> list[str]:
    """Return the source of every statement that a node needs, in the order of the module."""
    needed: dict[int, ast.stmt] = {}
    nodes = [start]
    while nodes:
        for child in ast.walk(nodes.pop()):
            statement = bound.get(child.id) if isinstance(child, ast.Name) else None
            if statement is not None and statement.lineno not in needed:
                needed[statement.lineno] = statement
                nodes.append(statement)
    return [_shown(needed[line], module) for line in sorted(needed)]


def _names_bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                yield target.id


def _shown(node: ast.stmt, module: Any) -> str:
    if isinstance(node, ast.ImportFrom) and node.level:
        name = "." * node.level + (node.module or "")
        absolute = importlib.util.resolve_name(name, module.__package__)
        node = ast.ImportFrom(absolute, node.names, 0)
    text = ast.unparse(node)
    return f"\n\n{text}\n\n" if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else text
