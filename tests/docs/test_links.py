"""Every relative link of the documentation leads to a file and a heading that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import PAGES, README, ROOT, anchors, broken_links, links, page_name

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = (ROOT / "CHANGELOG.md", ROOT / "benches" / "README.md")


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, queue = {README}, [README]
    while queue:
        page = queue.pop()
        for target in links(page):
            path = (page.parent / target.partition("#")[0]).resolve()
            if path in PAGES and path not in reached:
                reached.add(path)
                queue.append(path)
    assert {page_name(page) for page in PAGES} == {page_name(page) for page in reached}


def test_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 130


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `code` & two\n\n## Same\n\n## Same\n\n"
        "[a](page.md) [b](#one-code--two) [c](#same-1) [d](https://example.com/none)\n"
        "[e](missing.md) [f](#same-2) ![g](missing.svg) [h](page.md#one)\n"
    )
    assert anchors(page) == {"one-code--two", "same", "same-1"}
    assert broken_links(page) == ["missing.md", "#same-2", "missing.svg", "page.md#one"]
