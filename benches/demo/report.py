"""The report that the editor of the agent writes from tool results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benches.demo.model import import_counts, results, task
from benches.demo.sources import depth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage


def findings(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """Compute the facts of the report from the tool results."""
    surveys = results(messages, "survey")
    facts = {
        "files": sum(found["files"] for found in surveys),
        "lines": sum(found["lines"] for found in surveys),
        "todos": {found["package"]: found["todos"] for found in surveys},
    }
    if "import" in task(messages):
        importers = results(messages, "find_importers")
        counts = {found["module"]: len(found["files"]) for found in importers}
        return {**facts, "subject": "imports", "counts": counts, "of": len(import_counts(surveys))}
    text = {found["file"]: found["text"] for found in results(messages, "read_function")}
    longest = [found["functions"][0] for found in surveys]
    longest.sort(key=lambda function: -function["lines"])
    for function in longest:
        function["depth"] = depth(text[function["file"]])
    return {**facts, "subject": "functions", "longest": longest}


def render(facts: dict[str, Any]) -> str:
    """Return the report in Markdown."""
    todos: dict[str, int] = facts["todos"]
    most = max(todos, key=lambda package: todos[package])
    if facts["subject"] == "imports":
        heading = f"The most imported of {facts['of']} modules:"
        found = [f"- `{module}`: {count} files" for module, count in facts["counts"].items()]
    else:
        heading = "The longest function of each package:"
        found = [
            f"- `{function['name']}` ({function['file']}:{function['line']}):"
            f" {function['lines']} lines, {function['branches']} branches,"
            f" {function['depth']} levels deep"
            for function in facts["longest"]
        ]
    size = f"{len(todos)} packages, {facts['files']} files, {facts['lines']:,} lines."
    lines = [
        f"# The {facts['subject']} of Python's standard library",
        "",
        f"{size} Most TODOs: `{most}`, {todos[most]} of {sum(todos.values())}.",
        "",
        heading,
        "",
        *found,
    ]
    return "\n".join(lines) + "\n"
