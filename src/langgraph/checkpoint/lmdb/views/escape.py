"""Escapes: text from a store, without the characters that a terminal would obey."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    # C0 and C1 controls, DEL, line separators, marks that turn the direction of text, surrogates
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_UNSAFE_BUT_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def escape(text: object) -> str:
    """Return text on one line, its control characters as backslash sequences."""
    return _UNSAFE.sub(_escaped, str(text))


def escape_lines(text: object) -> str:
    """Return text whose control characters are escaped, except line feeds and tabs."""
    return _UNSAFE_BUT_LINES.sub(_escaped, str(text))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
