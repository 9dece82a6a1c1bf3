"""A recorder of one example, as a program that repeats it."""

from __future__ import annotations

import textwrap
from typing import Any

from saver_conformance.capability import Api
from saver_conformance.source import Imports, render

_HELPERS = """
def at(thread_id, checkpoint_ns="", checkpoint_id=None, **more):
    where = {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns, **more}
    if checkpoint_id is not None:
        where["checkpoint_id"] = checkpoint_id
    return {"configurable": where}


def checkpoint(id, values, versions, **more):
    return {
        "v": 4, "id": id, "ts": "2026-01-01T00:00:00+00:00", "channel_values": values,
        "channel_versions": versions, "versions_seen": {}, "updated_channels": None, **more,
    }
"""

#: Used for a spec without a snippet whose opener is a closure or needs a server; the program then
#: imports the spec's module.
_FALLBACK = """\
from saver_conformance import load_spec, {function}
{prefix}with {function}(load_spec({origin!r}), path) as saver:"""


_LAZY = "from __future__ import annotations"


class Script:
    """A program that repeats the calls of an example.

    Args:
        snippet: Python lines that set `saver`; see `SaverSpec.snippet`.
        origin: `module:attribute` of the spec, for a spec without a snippet.
        on_loop: True if a spec without a snippet must be opened on an event loop.
        definitions: Imports and definitions that the snippet needs.

    Attributes:
        on_loop: True if the program opens the saver on an event loop.
    """

    def __init__(
        self,
        snippet: str | None,
        origin: str | None,
        *,
        on_loop: bool = False,
        definitions: str = "",
    ) -> None:
        fallback = _FALLBACK.format(
            origin=origin or "your_module:spec",
            function="aopened" if on_loop else "opened",
            prefix="async " if on_loop else "",
        )
        self._definitions = definitions
        self._snippet = textwrap.dedent(snippet or fallback).strip("\n")
        self.on_loop = "await " in self._snippet or "async with" in self._snippet
        self._uses_async = self.on_loop
        self._uses_helpers = False
        self._imports = Imports()
        self._blocks: list[list[str]] = [[]]
        self._serdes: list[str | None] = [None]
        self._names: dict[str, int] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Length of the program in lines and in characters."""
        lines = [line for block in self._blocks for line in block]
        return len(lines), sum(map(len, lines))

    def name(self, stem: str) -> str:
        """Return a new variable name.

        Args:
            stem: Start of the name.

        Returns:
            Stem, with a number from the second use.
        """
        count = self._names[stem] = self._names.get(stem, 0) + 1
        return stem if count == 1 else f"{stem}_{count}"

    def value(self, value: Any) -> str:
        """Return a Python expression for a value.

        Args:
            value: Value to render.

        Returns:
            Python source code.
        """
        return render(value, self._imports)

    def line(self, text: str) -> None:
        """Append a statement.

        Args:
            text: Statement; may span several lines.
        """
        self._blocks[-1].extend(text.splitlines())

    def call(self, api: Api, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the expression of a call that consumes or awaits its result.

        Args:
            api: API of the call.
            method: Sync name of the method.
            args: Positional arguments.
            kwargs: Keyword arguments.

        Returns:
            Python source code; a `list` is consumed.
        """
        called = self.bare_call(api, method, args, kwargs)
        if api is Api.ASYNC:
            return f"[t async for t in {called}]" if method == "list" else f"await {called}"
        if method == "list":
            called = f"list({called})"
        # A saver that is bound to an event loop accepts sync calls only from other threads.
        return f"await asyncio.to_thread(lambda: {called})" if self.on_loop else called

    def bare_call(
        self, api: Api, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str:
        """Return the expression of a call that is neither awaited nor consumed.

        Args:
            api: API of the call.
            method: Sync name of the method.
            args: Positional arguments.
            kwargs: Keyword arguments.

        Returns:
            Python source code.
        """
        self._uses_async |= api is Api.ASYNC
        parts = [self.argument(a) for a in args]
        parts += [f"{k}={self.argument(v)}" for k, v in kwargs.items()]
        return f"saver.{api.method(method)}({', '.join(parts)})"

    def reopen(self, serde: str | None = None) -> None:
        """Close the saver and open the same store again.

        Args:
            serde: Expression of a serializer for the reopened store; None uses the default.
        """
        self._blocks.append([])
        self._serdes.append(serde)

    def use_async(self) -> None:
        """Make the program a coroutine."""
        self._uses_async = True

    def need(self, module: str, name: str) -> None:
        """Import a name in the program.

        Args:
            module: Module of the name.
            name: Name to import.
        """
        self._imports.need(module, name)

    def argument(self, value: Any) -> str:
        """Return an expression for an argument, with helpers for configs and checkpoints.

        Args:
            value: Argument of a call.

        Returns:
            Python source code.
        """
        if not isinstance(value, dict):
            return self.value(value)
        where = value.get("configurable")
        if isinstance(where, dict) and value.keys() == {"configurable"} and "thread_id" in where:
            rest = dict(where)
            thread, ns = rest.pop("thread_id"), rest.pop("checkpoint_ns", None)
            if ns is not None and all(key.isidentifier() for key in rest):
                arguments = [self.value(thread)]
                if ns or "checkpoint_id" in rest:
                    arguments.append(self.value(ns))
                if "checkpoint_id" in rest:
                    arguments.append(self.value(rest.pop("checkpoint_id")))
                arguments += [f"{k}={self.value(v)}" for k, v in rest.items()]
                self._uses_helpers = True
                return f"at({', '.join(arguments)})"
        if {"v", "id", "channel_values", "channel_versions"} <= value.keys():
            rest = {
                k: v
                for k, v in value.items()
                if k not in ("id", "channel_values", "channel_versions") and (k, v) not in _DEFAULTS
            }
            arguments = [
                self.value(value["id"]),
                self.value(value["channel_values"]),
                self.value(value["channel_versions"]),
                *(f"{k}={self.value(v)}" for k, v in rest.items()),
            ]
            self._uses_helpers = True
            return f"checkpoint({', '.join(arguments)})"
        return self.value(value)

    def program(self) -> str:
        """Return the whole program."""
        body: list[str] = []
        head = self._snippet.splitlines()
        imports = [line for line in head if line.startswith(("import ", "from "))]
        opening = [line for line in head if line not in imports]
        for block, serde in zip(self._blocks, self._serdes, strict=True):
            if not block and len(self._blocks) > 1:
                continue
            lines = [_with_serde(line, serde) for line in opening]
            body += lines
            last = lines[-1].rstrip()
            margin = last[: len(last) - len(last.lstrip())] + ("    " if last.endswith(":") else "")
            body += [f"{margin}{line}" for line in block or ["pass"]]
        text = "\n".join(body)
        helpers = _HELPERS if self._uses_helpers else ""
        needed = {"import tempfile", *imports, *self._imports.lines()}
        if self._uses_async:
            needed.add("import asyncio")
            body = [
                "async def main():",
                *(f"    {line}" for line in body),
                "",
                "asyncio.run(main())",
            ]
        if "contextlib" in text:
            needed.add("import contextlib")
        if self._definitions:
            # Definitions may name types that only a type checker imports.
            needed.add(_LAZY)
        return "\n".join(
            [
                *sorted(needed, key=lambda s: (s != _LAZY, s.startswith("from "), s)),
                *self._definitions.splitlines(),
                *helpers.splitlines(),
                "",
                "path = tempfile.mkdtemp()",
                *body,
                "",
            ]
        )


def _with_serde(line: str, serde: str | None) -> str:
    """Fill in the serializer placeholders of a snippet."""
    if serde is None:
        return line.replace("{, serde}", "").replace("{serde}", "")
    return line.replace("{, serde}", f", serde={serde}").replace("{serde}", f"serde={serde}")


_DEFAULTS: list[tuple[str, Any]] = [
    ("v", 4),
    ("ts", "2026-01-01T00:00:00+00:00"),
    ("versions_seen", {}),
    ("updated_channels", None),
]
