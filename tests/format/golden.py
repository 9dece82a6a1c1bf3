"""Stores as releases made them: `python -m tests.format.golden` makes that of the version at hand.

A store is `data.mdb.zst` in a folder named after the version, beside `content.json`, which has what
the independent reader saw in it, long payloads as digests. Stores of released versions are never
made again: every later release has to read them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zstandard

from langgraph.checkpoint.lmdb.kv.lmdb import LmdbStore
from tests.engine import stores
from tests.format import reader

RELEASED: tuple[str, ...] = ()
"""Versions that are out: the next to be added is the one that is published next."""
FOLDER = Path(__file__).parent / "golden"
_LONG = 96


def make(name: str) -> Path:
    """Make the store of a version.

    Raises:
        FileExistsError: It is released, and there.
    """
    target = FOLDER / name
    if name in RELEASED and target.exists():
        raise FileExistsError(f"{name} is released, so its store is not made again")
    with tempfile.TemporaryDirectory() as folder:
        kv = LmdbStore.open(Path(folder) / "store", sync="off")
        stores.fill(kv)
        kv.backup(Path(folder) / "compact")
        kv.close()
        data = (Path(folder) / "compact" / "data.mdb").read_bytes()
        found = condensed(reader.read(Path(folder) / "compact"))
    target.mkdir(parents=True, exist_ok=True)
    (target / "data.mdb.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(data))
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=True)
    (target / "content.json").write_text(text + "\n")
    return target


def unpack(name: str, folder: Path) -> Path:
    """Put the store of a version into a folder, as a store that can be opened."""
    folder.mkdir(mode=0o700)
    packed = (FOLDER / name / "data.mdb.zst").read_bytes()
    (folder / "data.mdb").write_bytes(zstandard.ZstdDecompressor().decompress(packed))
    return folder


def content(name: str) -> Any:
    """What is in the store of a version."""
    return json.loads((FOLDER / name / "content.json").read_text())


def versions() -> list[str]:
    """Those that there are stores of."""
    return sorted(path.name for path in FOLDER.iterdir())


def condensed(found: Any) -> Any:
    """The same with digests in place of long payloads."""
    if isinstance(found, dict):
        return {key: condensed(value) for key, value in found.items()}
    if isinstance(found, list):
        return [condensed(value) for value in found]
    if isinstance(found, str) and len(found) > _LONG:
        digest = sha256(found.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{len(found)} characters, sha256 {digest[:32]}"
    return found


if __name__ == "__main__":
    try:
        print(make(version("langgraph-lmdb")))
    except FileExistsError as error:
        sys.exit(str(error))
