"""Train the compression dictionary of the package, and measure it.

    python -m benches.dictionary            compare sizes and levels on held-out records
    python -m benches.dictionary --write    replace the file

The samples are records of graphs. Their text is from the standard library, never from the
benchmarks. Ids and times are replaced by seeded ones. Equal releases of Python, LangGraph and zstd
produce equal samples, except a few records whose shape depends on the timing of threads.
"""

from __future__ import annotations

import argparse
import random
import re
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from benches.dictionary_graphs import GRAPHS
from benches.dictionary_messages import Prose
from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.format import envelope
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIN_ROUNDS = 8
HELD_OUT_GRAPHS = ("review", "fields")
"""Graphs that the dictionary is not trained on."""
SIZES = (8192, 16384, 32768, 65536)
LEVELS = (1, 3, 5, 6, 9, 12)
SIZE = 65536
COVER = {"k": 256, "d": 8}

_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile(rb"(?<![0-9a-f-])[0-9a-f]{32}(?![0-9a-f-])")
_TIME = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def record(names: Sequence[str], seeds: Sequence[str]) -> list[bytes]:
    """Run graphs and return their payloads, sorted, with seeded ids and times."""
    payloads: list[bytes] = []
    pack = envelope.pack

    def recording(payload: bytes, level: int | None) -> bytes:
        if level is not None:
            payloads.append(payload)
        return pack(payload, level)

    envelope.pack = recording
    try:
        for seed in seeds:
            for name in names:
                saver = KvSaver(MemoryStore(), clock=lambda: 1_700_000_000.0)
                GRAPHS[name](saver, Prose(f"{seed} {name}", seed.startswith("held-out")))
    finally:
        envelope.pack = pack
    rng = random.Random("ids")
    return [_reseeded(payload, rng) for payload in sorted(payloads, key=_masked)]


def _masked(payload: bytes) -> bytes:
    for pattern in (_UUID, _HASH, _TIME):
        payload = pattern.sub(lambda found: b"0" * len(found[0]), payload)
    return payload


def _reseeded(payload: bytes, rng: random.Random) -> bytes:
    def random_time(_: re.Match[bytes]) -> bytes:
        at = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
        day = f"202{rng.randrange(4, 9)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
        return f"{day}T{at}.{rng.randrange(10**6):06}".encode()

    payload = _UUID.sub(lambda _: str(uuid.UUID(int=rng.getrandbits(128))).encode(), payload)
    payload = _HASH.sub(lambda _: f"{rng.getrandbits(128):032x}".encode(), payload)
    return _TIME.sub(random_time, payload)


def kind(payload: bytes) -> str:
    """Return the kind of the record that a payload belongs to, from its first bytes."""
    if payload[:1] == b"\x9b":
        return "checkpoint"
    if payload[:2] == b"\x92\xc0":
        return "writes"
    if b"langchain_core.messages" in payload[:64]:
        return f"{min((100, 600, 1500), key=lambda n: abs(len(payload) - n - 300))} B message"
    return "other"


def samples() -> list[bytes]:
    """Return the payloads that the dictionary is trained on."""
    names = [name for name in GRAPHS if name not in HELD_OUT_GRAPHS]
    found = [p for p in record(names, [f"train {n}" for n in range(TRAIN_ROUNDS)]) if len(p) >= 32]
    prose = Prose("text", held_out=False)
    # Records occur once or more per superstep. Texts are rarer, so there are fewer of them.
    texts = [prose.text(1500).encode() for _ in range(len(found) // 6)]
    found += texts
    random.Random("order").shuffle(found)
    return [payload[:4000] for payload in found]


def train(payloads: Sequence[bytes], size: int) -> bytes:
    """Train a dictionary on these samples."""
    made = zstandard.train_dictionary(size, [*payloads], level=6, dict_id=1, **COVER)
    return made.as_bytes()


def measure(dictionary: bytes, level: int, payloads: list[bytes]) -> tuple[float, float, float]:
    """Return the mean size in bytes, and the mean microseconds to pack and to unpack."""
    full = zstandard.DICT_TYPE_FULLDICT
    digested = zstandard.ZstdCompressionDict(dictionary, dict_type=full)
    digested.precompute_compress(level=level)
    compressor = zstandard.ZstdCompressor(
        level=level, dict_data=digested, write_content_size=False, write_dict_id=False
    )
    decompressor = zstandard.ZstdDecompressor(
        dict_data=zstandard.ZstdCompressionDict(dictionary, dict_type=full)
    )
    compressor.compress(payloads[0])
    start = time.perf_counter()
    frames = [compressor.compress(payload) for payload in payloads]
    packed = time.perf_counter()
    for frame, payload in zip(frames, payloads, strict=True):
        decompressor.decompress(frame, max_output_size=len(payload))
    done = time.perf_counter()
    n = len(payloads)
    return sum(map(len, frames)) / n, (packed - start) / n * 1e6, (done - packed) / n * 1e6


def compare(dictionaries: dict[str, bytes]) -> None:
    """Print size and speed of each dictionary and level for held-out records."""
    groups: defaultdict[str, list[bytes]] = defaultdict(list)
    for payload in record(list(GRAPHS), ["held-out 1", "held-out 2"]):
        if len(payload) >= 32:
            groups[kind(payload)].append(payload)
    names = sorted(groups)
    print("raw bytes: " + ", ".join(_raw(name, groups[name]) for name in names))
    print("bytes (us to pack / to unpack)")
    for title, dictionary in dictionaries.items():
        for level in LEVELS:
            row = [measure(dictionary, level, groups[name]) for name in names]
            cells = (
                f"{name} {size:6.1f} ({pack:4.1f}/{unpack:3.1f})"
                for name, (size, pack, unpack) in zip(names, row, strict=True)
            )
            print(f"{title:>9} level {level:2}  " + "  ".join(cells))


def _raw(name: str, payloads: list[bytes]) -> str:
    return f"{name} {sum(map(len, payloads)) / len(payloads):.0f} ({len(payloads)})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.dictionary", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the package's file")
    arguments = parser.parse_args()
    path = Path(envelope.__file__).with_name(envelope.DICTIONARIES[envelope.ZSTD_DICTIONARY_1])
    dictionaries = {"package's": path.read_bytes()}
    payloads = samples()
    print(f"{len(payloads)} samples, {sum(map(len, payloads))} bytes")
    if arguments.write:
        path.write_bytes(train(payloads, SIZE))
        dictionaries = {"written": path.read_bytes()}
    else:
        dictionaries |= {f"{size >> 10} KiB": train(payloads, size) for size in SIZES}
    compare(dictionaries)


if __name__ == "__main__":
    main()
