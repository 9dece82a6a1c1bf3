"""Whether a store is encrypted, and with what: the part that does without `cryptography`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    MissingKeyError,
    NotEncryptedError,
    UsageError,
    WrongKeyError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer

    Keys: TypeAlias = bytes | Sequence[bytes]
    EncryptionKey: TypeAlias = Keys | Callable[[], Keys] | Literal["env"]

HEADER = b"\x00encryption"
"""The key of the record that says how the store is encrypted: no part of what it holds."""
VARIABLE = "LANGGRAPH_AES_KEY"
"""The environment variable that LangGraph's own EncryptedSerializer reads its key from."""
KEY_SIZE = 32
_ADVICE = f"Use {KEY_SIZE} random bytes, as os.urandom({KEY_SIZE}) makes them, once for each store."


def open_encrypted(
    kv: KeyValueStore, key: EncryptionKey | None, *, new: bool = False
) -> KeyValueStore:
    """The plain view of a store: the store itself, unless it is encrypted or is to be.

    Args:
        kv: The store.
        key: A key, several of which the first is for new stores, a function without arguments
            that returns either, or "env" for the one in `LANGGRAPH_AES_KEY`. None leaves a new
            store without encryption, and opens one that has it with the key in
            `LANGGRAPH_AES_KEY`.
        new: The store has to be empty.

    Raises:
        MissingKeyError: The store is encrypted and there is no key, or none in the variable.
        WrongKeyError: The key is another one.
        NotEncryptedError: There is a key, and a store without encryption.
        InvalidPathError: The store was to be a new one.
        UsageError: The key is no key, or the package `cryptography` is missing.
        DamagedError: The header is damaged.
    """
    if new:
        with kv.read() as reader:
            if any(True for _ in reader.keys(b"", b"\xff")):
                raise InvalidPathError("there is a store already", advice="Name another folder.")
    if key is None:
        with kv.read() as reader:
            if reader.get(HEADER) is None:
                return kv
    return _implementation().open(kv, _key_source(key))


def rotation(
    kv: KeyValueStore, key: EncryptionKey
) -> Generator[Callable[[Writer], bytes | None], bytes | None, None]:
    """Return the steps of `rotation.rotate` for a store that `open_encrypted` returned.

    Raises:
        NotEncryptedError: The store is not encrypted.
        UsageError: The key is no key.
    """
    source = _key_source(key)
    if not isinstance(kv, _implementation()):
        raise NotEncryptedError("the store is not encrypted, so it has no key to change")
    from langgraph.checkpoint.lmdb.encryption.rotation import rotate  # noqa: PLC0415

    return rotate(kv, source)


def _implementation() -> type[EncryptedStore]:
    try:
        from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "encryption needs the package cryptography",
            advice="Install it: pip install 'langgraph-lmdb[encryption]'.",
        ) from error
    return EncryptedStore


def _key_source(key: EncryptionKey | None) -> KeySource:
    if key is not None and not (isinstance(key, str) and key == "env"):
        return KeySource(key)
    value = os.environ.get(VARIABLE)
    if not value:
        why = "the store is encrypted" if key is None else 'encryption_key is "env"'
        raise MissingKeyError(f"{why}, and {VARIABLE} is not set")
    return KeySource(os.fsencode(value), VARIABLE)


class KeySource:
    """Where the user's keys come from.

    Args:
        key: A key, several, or a function without arguments that returns either. It is called
            when the store has to be opened and no key that is known opens it.
        name: What errors call it.

    Raises:
        UsageError: It is no key.
    """

    def __init__(self, key: Keys | Callable[[], Keys], name: str = "encryption_key") -> None:
        self._ask = key if callable(key) else None
        self._name = name
        self._known = [] if callable(key) else self._checked(key)

    def _checked(self, given: Any) -> list[bytes]:
        keys = [given] if isinstance(given, (bytes, bytearray)) else given
        if not isinstance(keys, (list, tuple)) or not keys:
            raise UsageError(f"{self._name} is no key but {type(given).__name__}", advice=_ADVICE)
        for key in keys:
            if not isinstance(key, (bytes, bytearray)):
                raise UsageError(f"{self._name} has {type(key).__name__} in it", advice=_ADVICE)
            if len(key) != KEY_SIZE:
                raise UsageError(
                    f"{self._name} has {len(key)} bytes instead of {KEY_SIZE}", advice=_ADVICE
                )
        return [bytes(key) for key in keys]

    def first(self) -> bytes:
        """The key for what is new."""
        if self._ask is not None:
            self._learn(self._ask)
        return self._known[0]

    def prefer(self, key: bytes) -> None:
        """From now on, also find this key."""
        self._known = [key, *self._known]

    def find(self, fits: Callable[[bytes], bool]) -> bytes:
        """The key that fits.

        Raises:
            WrongKeyError: None does.
        """
        found = next(filter(fits, self._known), None)
        if found is None and self._ask is not None:
            self._learn(self._ask)
            found = next(filter(fits, self._known), None)
        if found is None:
            raise WrongKeyError(f"{self._name} is not the key that the store is encrypted with")
        return found

    def _learn(self, ask: Callable[[], Keys]) -> None:
        asked = self._checked(ask())
        self._known = [*asked, *(key for key in self._known if key not in asked)]
