"""Prose and names use plain American words, and the check of that finds what it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs import wordlist, words

if TYPE_CHECKING:
    from pathlib import Path


def found(text: str, name: str = "page.md") -> list[tuple[int, str]]:
    """Return the line and the text of each finding."""
    return [(finding.line, finding.text) for finding in words.check(name, text)]


def test_no_forbidden_words() -> None:
    findings = words.findings(words.files())
    assert not findings, "\n" + "\n".join(map(str, findings))


def test_every_entry_of_the_allowlist_is_used() -> None:
    used = {
        finding.key
        for path in words.files()
        for finding in words.check(path.relative_to(words.ROOT).as_posix(), path.read_text("utf-8"))
    }
    assert set(wordlist.ALLOWED) <= used


def test_every_path_has_files() -> None:
    for path in wordlist.PATHS:
        assert words.files((path,)), path
    with pytest.raises(FileNotFoundError):
        words.files(("missing",))


@pytest.mark.parametrize(
    "text",
    [
        "Nobody reads it.", "It goes away.", "the rest is gone", "it goes on", "it stays",
        "what is taken out", "it lets others in", "lets go", "such as are", "those of a thread",
        "that of a thread", "some of it", "likewise", "the key is none", "it is no key",
        "a kind that there is not", "all but for one", "meanwhile", "all at once", "for ever",
        "is told", "made anew", "by and by", "in vain",
    ],
)  # fmt: skip
def test_words_are_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    [
        "serialised", "the initialiser", "organisation", "realises", "behaviour", "colours",
        "favourite", "neighbouring", "catalogue", "centre", "licence", "analysed", "labelled",
        "modelling", "grey", "judgement",
    ],
)  # fmt: skip
def test_british_spellings_are_found(text: str) -> None:
    assert found(text) == [(1, text.removeprefix("the "))]


@pytest.mark.parametrize(
    "text",
    [
        "If there is no key, the store is no longer readable.", "a goer", "forever", "tolerated",
        "serialize", "behavior", "promise", "precise", "advise", "otherwise", "exercise",
        "raises", "analysis", "optimistic", "realistic", "licensed", "controlled", "color",
        "It depends on that offset.", "once", "such as a list", "cancelled", "the same key",
    ],
)  # fmt: skip
def test_plain_words_are_not_found(text: str) -> None:
    assert found(text) == []


def test_a_phrase_may_span_lines() -> None:
    assert found("one\nsuch\n  are two") == [(2, "such are")]
    assert found("# a key is\n# none\n", "module.py") == []  # comments are checked one by one
    assert found('"""A key is\nnone."""\n', "module.py") == [(1, "is none")]


def test_code_is_checked_in_comments_strings_and_names() -> None:
    code = 'gone = 1  # told\nprint("meanwhile", f"at once {gone}")\ncolour_map = goes_on\n'
    assert found(code, "module.py") == [
        (1, "gone"), (1, "told"), (2, "at once"), (2, "gone"), (2, "meanwhile"),
        (3, "colour"), (3, "goes"), (3, "goes on"),
    ]  # fmt: skip


def test_reference_to_another_docstring_is_found() -> None:
    assert found('def f():\n    """As `put`."""\n', "code.py") == [(2, "As `")]


@pytest.mark.parametrize("opening", wordlist.OPENINGS)
@pytest.mark.parametrize("kind", ["def f():", "async def f():", "class C:"])
def test_openings_are_found(kind: str, opening: str) -> None:
    code = f'{kind}\n    """{opening} it does."""\n'
    assert (2, opening) in found(code, "module.py")


@pytest.mark.parametrize("opening", wordlist.FUNCTION_OPENINGS)
def test_functions_begin_with_a_verb(opening: str) -> None:
    body = f'    """{opening} thread."""\n'
    assert (2, opening) in found(f"def f():\n{body}", "module.py")
    for noun in (
        "class C:\n",
        "def test_f():\n",
        "@property\ndef f():\n",
        "@pytest.fixture()\ndef f():\n",
    ):
        assert not any(text == opening for _, text in found(noun + body, "module.py")), noun


def test_plain_openings_are_not_found() -> None:
    for opening in ("Return the thread.", "Whatever", "Another thread.", "Allow it."):
        assert found(f'def f():\n    """{opening}"""\n', "module.py") == []


def test_command_prints_findings_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("Fine.\n\nNobody knows.\n")
    assert words.main([str(page)]) == 1
    assert "page.md:3: 'Nobody', instead: name the component" in capsys.readouterr().out
    page.write_text("Fine.\n")
    assert words.main([str(page)]) == 0
