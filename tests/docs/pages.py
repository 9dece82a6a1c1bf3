"""The pages of the documentation, parsed: code, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))

_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A code block: its language ("" for an indented one), text and first line in the page."""

    language: str
    text: str
    line: int


def page_name(page: Path) -> str:
    """Return the path of a page, relative to the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page in reading order."""
    found = []
    for token in _PARSER.parse(page.read_text("utf-8")):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            line = token.map[0] + (2 if token.type == "fence" else 1)
            found.append(Block(token.info.strip(), token.content, line))
    return found


def code(page: Path) -> str:
    """Return the text of all code blocks and code spans of a page, one per line."""
    return "\n".join(
        token.content
        for token in _tokens(page)
        if token.type in ("fence", "code_block", "code_inline")
    )


def links(page: Path) -> list[str]:
    """Return the targets of the links and images of a page."""
    found = (token.attrGet("href") or token.attrGet("src") for token in _tokens(page))
    return [str(target) for target in found if target]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    tokens = _PARSER.parse(page.read_text("utf-8"))
    result: set[str] = set()
    for opening, heading in pairwise(tokens):
        if opening.type == "heading_open":
            slug = re.sub(r"[^\w\- ]", "", heading.content.lower()).replace(" ", "-")
            count = found[slug] = found.get(slug, -1) + 1
            result.add(f"{slug}-{count}" if count else slug)
    return result


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file or no heading."""
    broken = []
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken


def _tokens(page: Path) -> Iterator[Token]:
    for token in _PARSER.parse(page.read_text("utf-8")):
        yield token
        yield from token.children or ()
