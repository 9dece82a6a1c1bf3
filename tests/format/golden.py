"""Golden stores: stores that released versions wrote. Every later version must read them.

`python -m tests.format.golden` writes the stores of the current version: one without encryption and
one with. The folder of a store has the name of the version. It holds `data.mdb.zst` and
`content.json`, the output of the independent reader with digests in place of long payloads. The
stores of a released version are never written again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zstandard

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from tests.engine import stores
from tests.format import reader
from tests.format.decryption import decrypted

RELEASED: tuple[str, ...] = ()
"""Versions that are published. Add each version when it is published."""
FOLDER = Path(__file__).parent / "golden"
KEY = bytes(range(32))
"""The key of the encrypted stores."""
_ENCRYPTED = "-encrypted"
_MAX_TEXT = 96
"""Characters of a payload that `content.json` holds unchanged."""


def write_store(name: str) -> Path:
    """Write a golden store and return its folder.

    Raises:
        FileExistsError: The version is released and its store exists.
    """
    target = FOLDER / name
    if name.removesuffix(_ENCRYPTED) in RELEASED and target.exists():
        raise FileExistsError(f"version {name} is released: its golden store must not change")
    with tempfile.TemporaryDirectory() as folder:
        store, compact = Path(folder) / "store", Path(folder) / "compact"
        if key(name) is None:
            _fill(store)
        else:
            _fill_encrypted(store)
        kv = LmdbStore.open(store, sync="off")
        kv.backup(compact)
        kv.close()
        data = (compact / "data.mdb").read_bytes()
        found = condensed(read(name, compact))
    target.mkdir(parents=True, exist_ok=True)
    (target / "data.mdb.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(data))
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=True)
    (target / "content.json").write_text(text + "\n")
    return target


def _fill(path: Path) -> None:
    kv = LmdbStore.open(path, sync="off")
    stores.fill(kv)
    kv.close()


def _fill_encrypted(path: Path) -> None:
    """Fill a small encrypted store, since encrypted data does not compress. The key is rotated."""
    with LmdbSaver(path, encryption_key=KEY[::-1], clock=stores.Clock()) as saver:
        stores.grow(saver, "a", 1, 5)
        stores.grow(saver, "b" * 300, 1, 3, "sub:1")
        saver.rotate_key(KEY)
        stores.grow(saver, "a", 5, 7)
        saver.copy_thread("a", "copy")
        saver.prune(["a"], keep_last=2)


def key(name: str) -> bytes | None:
    """Return the key of a golden store, or None."""
    return KEY if name.endswith(_ENCRYPTED) else None


def read(name: str, folder: Path) -> dict[str, Any]:
    """Return the output of the independent reader for a store."""
    return reader.read(folder, partial(decrypted, key=KEY) if key(name) else None)


def unpack(name: str, folder: Path) -> Path:
    """Unpack a golden store into a folder and return the folder."""
    folder.mkdir(mode=0o700)
    packed = (FOLDER / name / "data.mdb.zst").read_bytes()
    (folder / "data.mdb").write_bytes(zstandard.ZstdDecompressor().decompress(packed))
    return folder


def content(name: str) -> Any:
    """Return the recorded content of a golden store."""
    return json.loads((FOLDER / name / "content.json").read_text())


def names() -> list[str]:
    """Return the names of all golden stores."""
    return sorted(path.name for path in FOLDER.iterdir())


def condensed(found: Any) -> Any:
    """Return the output of the reader with digests in place of long payloads."""
    if isinstance(found, dict):
        return {key: condensed(value) for key, value in found.items()}
    if isinstance(found, list):
        return [condensed(value) for value in found]
    if isinstance(found, str) and len(found) > _MAX_TEXT:
        digest = sha256(found.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{len(found)} characters, sha256 {digest[:32]}"
    return found


if __name__ == "__main__":
    this = version("langgraph-lmdb")
    try:
        print(write_store(this), write_store(this + _ENCRYPTED))
    except FileExistsError as error:
        sys.exit(str(error))
