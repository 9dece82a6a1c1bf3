"""The guide to looking into a store shows the real output of its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.docs.console import commands, run_page, stable
from tests.docs.pages import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GUIDE = ROOT / "docs" / "guides" / "looking.md"


def test_commands_print_what_the_guide_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKEN", raising=False)
    shown: dict[str, str] = {}
    now: dict[str, str] = {}
    count = 0
    for command, expected, found in run_page(GUIDE):
        assert expected, command
        assert stable(found, now) == stable(expected, shown), command
        count += 1
    assert count == sum(
        len(commands(block.text)) for block in blocks(GUIDE) if block.language == "console"
    )


def test_other_output_is_noticed() -> None:
    one, other, same = (
        "step 1 1f0a8b2c failed",
        "step 1 1f0a8b2c complete",
        "step 1 99aa88bb failed",
    )
    assert stable(one, {}) == stable(same, {})
    assert stable(one, {}) != stable(other, {})
    ids: dict[str, str] = {}
    assert stable("aaaa1111 then bbbb2222", {}) != stable("aaaa1111 then aaaa1111", ids)
