"""The tools of the agent: each reads real files and returns JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from langchain_core.tools import BaseTool, tool

from benches.demo import sources

if TYPE_CHECKING:
    from benches.demo.effects import Workspace


def make_tools(workspace: Workspace) -> list[BaseTool]:
    """Return the tools. Each logs its beginning and its end in `workspace`."""

    @tool
    def list_packages(count: int) -> str:
        """Name the largest packages of the standard library."""
        workspace.begin("list")
        names = sources.packages(count)
        workspace.end("list")
        return json.dumps(names)

    @tool
    def survey(package: str) -> str:
        """Measure a package: its longest functions, its imports, its open TODOs."""
        workspace.begin(f"survey {package}")
        found = sources.survey(package)._asdict()
        found["functions"] = [function._asdict() for function in found["functions"]]
        workspace.end(f"survey {package}")
        return json.dumps(found)

    @tool
    def read_function(file: str, line: int, lines: int) -> str:
        """Read the source of one function."""
        workspace.begin(f"read {file}:{line}")
        text = sources.function_source(file, line, lines)
        workspace.end(f"read {file}:{line}")
        return json.dumps({"file": file, "line": line, "text": text})

    @tool
    def find_importers(module: str, inside: list[str]) -> str:
        """Name the files that import a module."""
        workspace.begin(f"importers of {module}")
        files = sources.importers(module, inside)
        workspace.end(f"importers of {module}")
        return json.dumps({"module": module, "files": files})

    return [list_packages, survey, read_function, find_importers]
