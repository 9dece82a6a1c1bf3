"""The keys that a user gives for an encrypted store. Does not need the package `cryptography`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, TypeAlias

from langgraph.checkpoint.lmdb.errors import MissingKeyError, UsageError, WrongKeyError

Keys: TypeAlias = bytes | Sequence[bytes]
EncryptionKey: TypeAlias = Keys | Callable[[], Keys] | Literal["env"]

HEADER = b"\x00encryption"
"""Key of the record that holds the store's own keys. Callers of an encrypted store never see it."""
KEY_SIZE = 32
"""Bytes of a user's key, and of each data key."""
ENV_VARIABLE = "LANGGRAPH_AES_KEY"
"""Environment variable that LangGraph's own EncryptedSerializer reads its key from."""
_ADVICE = f"Generate one key per store with os.urandom({KEY_SIZE})."


class KeySource:
    """A list of the user's keys, and the function that returns more of them.

    Args:
        key: One key, several keys, or a function without arguments that returns one or several.
            The function is called when a store has to be opened and no known key opens it.
        name: Name of the key in error messages.

    Raises:
        UsageError: A key does not have 32 bytes.
    """

    def __init__(self, key: Keys | Callable[[], Keys], name: str = "encryption_key") -> None:
        self._ask = key if callable(key) else None
        self._name = name
        self._known = [] if callable(key) else self._validated(key)

    @classmethod
    def from_option(cls, key: EncryptionKey | None) -> KeySource:
        """Return the source that the option `encryption_key` of a saver describes.

        Args:
            key: As for `KeySource`. "env" and None read the key from `LANGGRAPH_AES_KEY`.

        Raises:
            MissingKeyError: The environment variable is not set.
            UsageError: A key does not have 32 bytes.
        """
        if key is not None and not (isinstance(key, str) and key == "env"):
            return cls(key)
        value = os.environ.get(ENV_VARIABLE)
        if not value:
            reason = "the store is encrypted" if key is None else 'encryption_key is "env"'
            raise MissingKeyError(f"{reason}, but {ENV_VARIABLE} is not set")
        return cls(os.fsencode(value), ENV_VARIABLE)

    def first(self) -> bytes:
        """Return the key for new stores and rotations."""
        if self._ask is not None:
            self._learn(self._ask)
        return self._known[0]

    def find(self, fits: Callable[[bytes], bool]) -> bytes:
        """Return the first key for which `fits` returns True.

        Raises:
            WrongKeyError: No key fits.
        """
        found = next(filter(fits, self._known), None)
        if found is None and self._ask is not None:
            self._learn(self._ask)
            found = next(filter(fits, self._known), None)
        if found is None:
            raise WrongKeyError(f"{self._name} is not the key of the store")
        return found

    def add(self, key: bytes) -> None:
        """Add a key that later calls of `find` try first."""
        self._known = [key, *self._known]

    def _learn(self, ask: Callable[[], Keys]) -> None:
        asked = self._validated(ask())
        self._known = [*asked, *(key for key in self._known if key not in asked)]

    def _validated(self, given: Any) -> list[bytes]:
        keys = [given] if isinstance(given, (bytes, bytearray)) else given
        if not isinstance(keys, (list, tuple)) or not keys:
            self._reject(f"got {type(given).__name__}")
        for key in keys:
            if not isinstance(key, (bytes, bytearray)):
                self._reject(f"got {type(key).__name__}")
            if len(key) != KEY_SIZE:
                self._reject(f"got {len(key)} bytes")
        return [bytes(key) for key in keys]

    def _reject(self, what: str) -> NoReturn:
        """Raise UsageError. The text never shows the key."""
        raise UsageError(f"{self._name} must be {KEY_SIZE} bytes, {what}", advice=_ADVICE)
