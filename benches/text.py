"""Deterministic prose that compresses about 3:1, like text of people and models."""

from __future__ import annotations

import functools
import itertools
import random
import uuid

_VOCABULARY = 8000
_ONSETS = [*"bcdfghlmnprstvw", "br", "ch", "cl", "dr", "fr", "gr", "pl", "pr", "sh", "st"]
_VOWELS = [*"aeiouaeio", "ea", "ou", "io", "ai"]
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "nd", "st", "ng", "ck"]


@functools.cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Return words, and the cumulative weights of their frequencies (Zipf)."""
    rng = random.Random("vocabulary")
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        # Frequent words are short, as in any language.
        syllables = 1 + min(3, int(rng.random() * (1 + len(words) / 400)))
        word = "".join(
            rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(syllables)
        )
        words[word] = None
    stored_sizes = [1 / (rank + 20) for rank in range(_VOCABULARY)]
    return list(words), list(itertools.accumulate(stored_sizes))


class Writer:
    """A generator of text, lines and ids from a seed."""

    def __init__(self, seed: object) -> None:
        self._rng = random.Random(str(seed))

    def prose(self, size: int) -> str:
        """Return sentences of exactly `size` ASCII characters."""
        words, stored_sizes = _vocabulary()
        sentences: list[str] = []
        missing = size
        while missing > 0:
            sentence = " ".join(
                self._rng.choices(words, cum_weights=stored_sizes, k=self._rng.randint(6, 18))
            )
            sentences.append(f"{sentence.capitalize()}.")
            missing -= len(sentence) + 2
        return " ".join(sentences)[:size]

    def lines(self, size: int, width: int = 60) -> list[str]:
        """Return lines of `width` characters, `size` characters with line feeds."""
        text = self.prose(size)
        return [text[start : start + width - 1] for start in range(0, size, width)]

    def uuid(self) -> str:
        """Return a random UUID."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))


class Slices:
    """A cheap generator of distinct texts: a number, and a slice of a longer text."""

    def __init__(self, seed: object, size: int) -> None:
        self._prose = Writer(seed).prose(200_000)
        self._count = itertools.count()
        self._rng = random.Random(str(seed))
        self._size = size

    def next(self) -> str:
        """Return the next text."""
        start = self._rng.randrange(len(self._prose) - self._size)
        return f"{next(self._count)} {self._prose[start : start + self._size]}"
