"""Ids that a store may confuse: families of different ids, and separators that join ids."""

from __future__ import annotations

from typing import Final

#: Families of different ids. An encoding, a collation, a pattern, a path or a limit folds some ids
#: of each family.
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "case": ("a", "A", "ss", "ß", "SS", "i", "I", "\u0131", "\u0130", "k", "\u212a"),
    "space": ("a", " a", "a ", "a  ", "\ta", "a\n", "a\xa0", "a\u200b", "\ufeffa", "a\xad"),
    "unicode": (
        "é",
        "e\u0301",
        "e",
        "E",
        "ﬁ",
        "fi",
        "Å",
        "\u212b",
        "①",
        "1",
        "ÿ",
        "\xc3\xbf",
        "\ufffd",
    ),
    "number": ("1", "01", "1.0", "+1", "1e0", "\uff11", "-1", "0x1", "1_0", "10", "0", "-0"),
    "word": ("None", "none", "null", "NULL", "True", "true", "nan", "", "0"),
    "pattern": ("ab", "a%", "a_", "a*", "a?", "[a]b", "a.", ".*", "a'", 'a"', "a\\", "a`", "a$"),
    "separator": ("a/b", "a:b", "a|b", "a-b", "a_b", "a.b", "a,b", "a b", "a;b", "a#b", "ab"),
    "escape": ("a/b", "a%2Fb", "a%2fb", "a+b", "a b", "a%20b", "a\\b", "a&b", "a&amp;b", "a\\\\b"),
    "path": ("a", "./a", "a/", "/a", "a/.", "a/../a", "a//", "..", ".", "aa", "a/a"),
    "affix": ("a", "(a)", "[a]", "{a}", "<a>", "a|", "|a", "a:", ":a", "a-", "a,", "a=", "a@"),
    "control": ("a", "a\0", "a\0b", "\0a", "\0", "a\x1f", "a\x7f", "a\r", "a\r\n", "a\n"),
    "length": tuple(
        text for n in (70, 300, 3000) for text in ("x" * n + "a", "x" * n + "b", "b" + "x" * n)
    ),
}

#: Characters and texts that may separate the parts of a joined key.
SEPARATORS: Final = (
    *(":", "|", "/", "-", "_", ".", ",", ";"),
    *("#", "$", "%", "@", "+", "=", "~", "&"),
    *(" ", "\0", "\x1f", "\x1e", "\t", "\n", "::", "__"),
)
