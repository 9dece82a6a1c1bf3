"""The cost of encryption: `python -m benches.encryption`. Calls alternate between two stores."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from benches.records import ThreadWriter
from benches.units import format_value
from langgraph.checkpoint.lmdb import LmdbSaver

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (500, 20_000, 500_000)
ROUNDS = 200


def measure(size: int, sync: Literal["full", "off"], rounds: int) -> list[list[float]]:
    """Return medians in seconds, first without a key and then with one.

    Each has three values: put, get_tuple without a cache, and get_tuple with a cache.
    """
    with ExitStack() as stack:
        here = Path(__file__).parent
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=here)))
        found: list[tuple[LmdbSaver, LmdbSaver, ThreadWriter, tuple[list[float], ...]]] = []
        for name, key in (("plain", None), ("encrypted", os.urandom(32))):
            options: dict[str, Any] = {"sync": sync, "encryption_key": key}
            warm, cold = (
                stack.enter_context(LmdbSaver(folder / name, cache_size=cache, **options))
                for cache in (64 << 20, 0)
            )
            found.append((warm, cold, ThreadWriter(warm, "thread"), ([], [], [])))
        for _ in range(rounds):
            text = os.urandom(size // 2).hex()
            for warm, cold, writer, times in found:
                calls: tuple[Callable[[], object], ...] = (
                    partial(writer.put, text),
                    lambda cold=cold, writer=writer: cold.get_tuple(writer.config),  # type: ignore[misc]
                    lambda warm=warm, writer=writer: warm.get_tuple(writer.config),  # type: ignore[misc]
                )
                for call, taken in zip(calls, times, strict=True):
                    start = perf_counter()
                    call()
                    taken.append(perf_counter() - start)
        return [[statistics.median(taken) for taken in times] for _, _, _, times in found]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="puts of 0.5 KB and of 20 KB")
    rounds = parser.parse_args().rounds
    print("| sync | value | call | plain | encrypted | ratio |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    syncs: tuple[Literal["full", "off"], ...] = ("full", "off")
    for sync in syncs:
        for size in SIZES:
            plain, encrypted = measure(size, sync, rounds if size < 100_000 else rounds // 5)
            names = ("put", "get_tuple, not cached", "get_tuple")
            for name, before, after in zip(names, plain, encrypted, strict=True):
                row = (
                    *(f"{sync}", f"{size / 1000:g} KB", name),
                    *(format_value(before, "s"), format_value(after, "s"), f"{after / before:.2f}"),
                )
                print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
