"""Another key for an encrypted store, while it is in use.

    1  the header gets a new data key for all that is written from then on, and both of the user's
       keys open it
    2  values that are encrypted with the old data key are encrypted again, some at a time
    3  the header loses the old data key, and the user's old key does not open it any more

Each step is one write transaction. A process that dies leaves a store that both keys open, until
the same rotation is called for again and goes on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.encryption.opening import HEADER
from langgraph.checkpoint.lmdb.encryption.store import EncryptedWriter
from langgraph.checkpoint.lmdb.errors import DamagedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from langgraph.checkpoint.lmdb.encryption.keyring import Keyring
    from langgraph.checkpoint.lmdb.encryption.opening import KeySource
    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
    from langgraph.checkpoint.lmdb.kv.base import Writer

_LOOKED_AT = 2000  # values in a step
_CHANGED = 256 * 1024  # bytes of values that a step encrypts, but for the last of them
_END = b"\xff" * 512


def rotate(
    store: EncryptedStore, source: KeySource
) -> Generator[Callable[[Writer], bytes | None], bytes | None, None]:
    """The steps, each to be run in a transaction; what it returns is to be sent back.

    Args:
        store: The store.
        source: The new key.

    Raises (in the first step):
        UsageError: The store is on its way to another key.
    """
    key = source.first()
    store.prefer(key)
    mark = yield partial(_begin, store, key)
    assert mark is not None
    at: bytes | None = b""
    while at is not None:
        at = yield partial(_reencrypt, at)
    yield partial(_finish, mark, key)


def _begin(store: EncryptedStore, key: bytes, writer: Writer) -> bytes:
    """Returns what the rotation is recognised by, which someone else may end and begin anew."""
    assert isinstance(writer, EncryptedWriter)
    keyring = writer.keyring
    if not keyring.rotating:
        old = store.key_of(keyring.slots[0])
        keyring = keyring.with_new_key().sealed([key, old])
        _save(writer, keyring)
    elif not keyring.slots[0].fits(key):
        raise UsageError(
            "the store is on its way to another key",
            advice="Call rotate_key with that key first: it goes on where it was left.",
        )
    return keyring.slots[0].check


def _reencrypt(start: bytes, writer: Writer) -> bytes | None:
    """Encrypt the next values again; where to go on, or None at the end."""
    assert isinstance(writer, EncryptedWriter)
    keyring = writer.keyring
    found: list[tuple[bytes, bytes]] = []
    changed = 0
    last = None
    for count, (name, value) in enumerate(writer.inner.range(start, _END)):
        if count >= _LOOKED_AT or changed >= _CHANGED:
            break
        last = name
        if keyring.is_old(value):
            found.append((name, value))
            changed += len(value)
    else:
        last = None
    for name, value in found:
        key = keyring.names.plain(name)
        try:
            value = keyring.decrypt(key, value)
        except DamagedError:  # it stays what it is: unreadable
            continue
        writer.inner.put(name, keyring.encrypt(key, value))
    return None if last is None else last + b"\x00"


def _finish(mark: bytes, key: bytes, writer: Writer) -> None:
    assert isinstance(writer, EncryptedWriter)
    keyring = writer.keyring
    if keyring.slots[0].check == mark:  # else someone else has finished it
        _save(writer, keyring.without_old_keys().sealed([key]))


def _save(writer: EncryptedWriter, keyring: Keyring) -> None:
    assert keyring.header is not None
    writer.inner.put(HEADER, keyring.header)
