"""Stores as releases made them: `python -m tests.format.golden` makes that of the version at hand.

Of each version there are two, one of them encrypted: `data.mdb.zst` in a folder named after the
version, beside `content.json`, which has what the independent reader saw in it, long payloads as
digests. Stores of released versions are never made again: every later release has to read them.
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
"""Versions that are out: the next to be added is the one that is published next."""
FOLDER = Path(__file__).parent / "golden"
KEY = bytes(range(32))
"""Of the encrypted ones."""
_ENCRYPTED = "-encrypted"
_LONG = 96


def make(name: str) -> Path:
    """Make a store of a version.

    Raises:
        FileExistsError: It is released, and there.
    """
    target = FOLDER / name
    if name.removesuffix(_ENCRYPTED) in RELEASED and target.exists():
        raise FileExistsError(f"{name} is released, so its store is not made again")
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
    """A small one, as what is encrypted cannot be compressed; partly under a second key."""
    with LmdbSaver(path, encryption_key=KEY[::-1], clock=stores.Clock()) as saver:
        stores.grow(saver, "a", 1, 5)
        stores.grow(saver, "b" * 300, 1, 3, "sub:1")
        saver.rotate_key(KEY)
        stores.grow(saver, "a", 5, 7)
        saver.copy_thread("a", "copy")
        saver.prune(["a"], keep_last=2)


def key(name: str) -> bytes | None:
    """The key of a store, if it has one."""
    return KEY if name.endswith(_ENCRYPTED) else None


def read(name: str, folder: Path) -> dict[str, Any]:
    """What the independent reader sees in a store."""
    return reader.read(folder, partial(decrypted, key=KEY) if key(name) else None)


def unpack(name: str, folder: Path) -> Path:
    """Put a store of a version into a folder, as a store that can be opened."""
    folder.mkdir(mode=0o700)
    packed = (FOLDER / name / "data.mdb.zst").read_bytes()
    (folder / "data.mdb").write_bytes(zstandard.ZstdDecompressor().decompress(packed))
    return folder


def content(name: str) -> Any:
    """What is in a store of a version."""
    return json.loads((FOLDER / name / "content.json").read_text())


def names() -> list[str]:
    """The stores that there are."""
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
    this = version("langgraph-lmdb")
    try:
        print(make(this), make(this + _ENCRYPTED))
    except FileExistsError as error:
        sys.exit(str(error))
