"""Check prose and names against the word list: `python -m tests.docs.words [PATH ...]`."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.docs import wordlist

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

_TEXT_TOKENS = ("COMMENT", "STRING", "FSTRING_MIDDLE", "NAME")
_NOUN_DECORATORS = ("property", "cached_property", "fixture")


class Finding(NamedTuple):
    """A use of a forbidden word or opening."""

    path: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}, instead: {self.instead}"

    @property
    def key(self) -> tuple[str, str]:
        """The key of this use in the allowlist."""
        return self.path, self.text.lower()


def files(paths: tuple[str, ...] = wordlist.PATHS) -> list[Path]:
    """Return the files to check below the paths."""
    found: list[Path] = []
    for name in paths:
        path = ROOT / name
        if not path.exists():
            raise FileNotFoundError(f"{name} in the list of paths does not exist")
        found += [path] if path.is_file() else _files_below(path)
    return [
        path
        for path in found
        if not any(fnmatch(_name(path), pattern) for pattern in wordlist.SKIPPED)
    ]


def _files_below(folder: Path) -> list[Path]:
    return sorted([*folder.rglob("*.py"), *folder.rglob("*.md")])


def findings(paths: list[Path]) -> list[Finding]:
    """Return the uses in the files that the allowlist does not allow."""
    found = [finding for path in paths for finding in check(_name(path), path.read_text("utf-8"))]
    return [finding for finding in found if finding.key not in wordlist.ALLOWED]


def check(name: str, text: str) -> list[Finding]:
    """Return every use of a forbidden word or opening in the text of a file."""
    if not name.endswith(".py"):
        return sorted({*_check_words(name, text, 1)})
    found = {*_check_openings(name, text)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind in _TEXT_TOKENS:
            prose = token.string.replace("_", " ") if kind == "NAME" else token.string
            found |= {*_check_words(name, prose, token.start[0])}
    return sorted(found)


def _check_words(name: str, text: str, first_line: int) -> Iterator[Finding]:
    for line, words, instead in _matches(text):
        yield Finding(name, first_line + line, words, instead)


@cache  # most names occur many times
def _matches(text: str) -> list[tuple[int, str, str]]:
    """Return the line, the words and the replacement of each match."""
    return [
        (text.count("\n", 0, match.start()), " ".join(match[0].split()), instead)
        for pattern, instead in _patterns()
        for match in pattern.finditer(text)
    ]


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return the rules, compiled; words of a phrase may stand on two lines."""
    rules = {**wordlist.WORDS, **wordlist.SPELLINGS}
    return [
        (re.compile(rf"\b(?:{_spaced(words)})\b", re.IGNORECASE), instead)
        for words, instead in rules.items()
    ]


def _spaced(words: str) -> str:
    """Let each space of a pattern match a line break and the comment sign after that."""
    lookbehinds = re.split(r"(\(\?<!.*?\))", words)
    return "".join(
        part if part.startswith("(?<!") else part.replace(" ", r"[\s#]+") for part in lookbehinds
    )


def _check_openings(name: str, text: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        docstring = ast.get_docstring(node)
        if docstring is None:
            continue
        openings = wordlist.OPENINGS
        if not isinstance(node, ast.ClassDef) and not _may_begin_with_noun(node):
            openings += wordlist.FUNCTION_OPENINGS
        for opening in openings:
            end = r"\b" if opening[-1].isalpha() else ""
            if re.match(re.escape(opening) + end, docstring):
                instead = "begin with a verb: Return, Raise, Write, Delete, Check"
                yield Finding(name, node.body[0].lineno, opening, instead)


def _may_begin_with_noun(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return True for a property, a fixture, a test and a clause of the conformance suite."""
    decorators = {
        part.attr if isinstance(part, ast.Attribute) else part.id
        for decorator in node.decorator_list
        for part in ast.walk(decorator)
        if isinstance(part, ast.Attribute | ast.Name)
    }
    if node.decorator_list and node.args.args and _is_session(node.args.args[0]):
        return True
    return node.name.startswith("test_") or not decorators.isdisjoint(_NOUN_DECORATORS)


def _is_session(argument: ast.arg) -> bool:
    """Return True for the session, the first argument of a clause."""
    return isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Session"


def _name(path: Path) -> str:
    path = path.resolve()
    return (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()


def main(arguments: list[str]) -> int:
    """Print the findings in the given files or folders; return 1 if there are any."""
    found = findings(files(tuple(arguments) or wordlist.PATHS))
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
