"""The keys of an encrypted store: the user's own, and the random ones that they lead to.

All that is stored is encrypted with random keys of the store. Those are kept in its header,
encrypted once with each key of the user's that opens it: so a store's own keys are never those
of another store, and the user's key can be changed while the store is in use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from langgraph.checkpoint.lmdb.encryption.key_names import KeyNameCipher
from langgraph.checkpoint.lmdb.encryption.opening import HEADER, KEY_SIZE
from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, PlaintextRecordError
from langgraph.checkpoint.lmdb.format import envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph.checkpoint.lmdb.encryption.opening import KeySource

VERSION = 1
_MARK = 1
_PREFIX_SIZE = 2
_NONCE_SIZE = 12
_TAG_SIZE = 16
_SALT_SIZE = 16
_CHECK_SIZE = 16
_NAMES_SIZE = 64
_NUMBERS = 256
_MAX_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """The store's own keys, encrypted with one of the user's."""

    salt: bytes
    check: bytes
    """What the user's key is recognised by."""
    nonce: bytes
    sealed: bytes

    def fits(self, key: bytes) -> bool:
        """Whether it was made with this key."""
        return _derived(key, self.salt)[1] == self.check


def _derived(key: bytes, salt: bytes) -> tuple[bytes, bytes]:
    size = KEY_SIZE + _CHECK_SIZE
    kdf = HKDF(algorithm=SHA256(), length=size, salt=salt, info=b"langgraph-lmdb key 1")
    both = kdf.derive(key)
    return both[:KEY_SIZE], both[KEY_SIZE:]


def _new_slot(key: bytes, secrets: bytes) -> Slot:
    salt, nonce = os.urandom(_SALT_SIZE), os.urandom(_NONCE_SIZE)
    wrapping, check = _derived(key, salt)
    return Slot(salt, check, nonce, AESGCM(wrapping).encrypt(nonce, secrets, HEADER + salt + check))


@dataclass(frozen=True, slots=True)
class Keyring:
    """The store's own keys.

    Attributes:
        header: The record that they came from; None if they were never stored.
        slots: The user's keys that open it. The first one is that of the latest rotation.
        secret: The key of what is private in keys.
        data: The keys of values, by number; the last one is for what is new.
    """

    header: bytes | None
    slots: tuple[Slot, ...]
    secret: bytes = field(repr=False)
    data: dict[int, bytes] = field(repr=False)
    names: KeyNameCipher = field(init=False, repr=False)
    _ciphers: dict[bytes, AESGCM] = field(init=False, repr=False)
    _new: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ciphers = {bytes((_MARK, number)): AESGCM(key) for number, key in self.data.items()}
        object.__setattr__(self, "names", KeyNameCipher(self.secret))
        object.__setattr__(self, "_ciphers", ciphers)
        object.__setattr__(self, "_new", [*ciphers][-1])

    @classmethod
    def fresh(cls) -> Keyring:
        """Random keys that are stored nowhere."""
        return cls(None, (), os.urandom(_NAMES_SIZE), {0: os.urandom(KEY_SIZE)})

    def sealed(self, keys: Sequence[bytes]) -> Keyring:
        """The same with a header that each of the user's keys opens."""
        secrets = envelope.encode((self.secret, [*self.data.items()]))
        slots = tuple(_new_slot(key, secrets) for key in dict.fromkeys(keys))
        fields = [(slot.salt, slot.check, slot.nonce, slot.sealed) for slot in slots]
        payload = envelope.encode((VERSION, fields))
        header = envelope.seal(HEADER, envelope.pack(payload, None))
        return Keyring(header, slots, self.secret, self.data)

    @classmethod
    def open(cls, header: bytes, source: KeySource) -> Keyring:
        """The keys in a header.

        Raises:
            WrongKeyError: No key of the user's opens it.
            DamagedError: It is damaged.
            FormatVersionError: It is of a newer release.
        """
        slots = _read_slots(header)
        key = source.find(lambda key: any(slot.fits(key) for slot in slots))
        slot = next(slot for slot in slots if slot.fits(key))
        wrapping, _ = _derived(key, slot.salt)
        try:
            secrets = AESGCM(wrapping).decrypt(
                slot.nonce, slot.sealed, HEADER + slot.salt + slot.check
            )
        except (InvalidTag, ValueError):
            envelope.raise_damaged(HEADER, "the keys in it do not decrypt")
        secret, data = envelope.decode(HEADER, secrets)
        return cls(header, slots, secret, {number: bytes(key) for number, key in data})

    @property
    def rotating(self) -> bool:
        """Whether some values may be encrypted with a key that is on its way out."""
        return len(self.data) > 1

    def with_new_key(self) -> Keyring:
        """The same with one more key for values, from now on for all that is new."""
        last = [*self.data][-1]
        data = {last: self.data[last], (last + 1) % _NUMBERS: os.urandom(KEY_SIZE)}
        return Keyring(None, (), self.secret, data)

    def without_old_keys(self) -> Keyring:
        """The same with nothing but the last key for values."""
        last = [*self.data][-1]
        return Keyring(None, (), self.secret, {last: self.data[last]})

    def is_old(self, stored: bytes) -> bool:
        """Whether a stored value is encrypted with a key that is on its way out."""
        prefix = stored[:_PREFIX_SIZE]
        return prefix != self._new and prefix in self._ciphers

    def encrypt(self, key: bytes, value: bytes) -> bytes:
        """A value as it is stored under a plain key."""
        prefix, nonce = self._new, os.urandom(_NONCE_SIZE)
        return prefix + nonce + self._ciphers[prefix].encrypt(nonce, value, prefix + key)

    def decrypt(self, key: bytes, stored: bytes) -> bytes:
        """The value that is stored under a plain key.

        Raises:
            PlaintextRecordError: It was stored without encryption.
            DamagedError: It is not what was encrypted for this key of this store.
        """
        prefix = stored[:_PREFIX_SIZE]
        cipher = self._ciphers.get(prefix)
        at = _PREFIX_SIZE + _NONCE_SIZE
        if cipher is not None and len(stored) >= at + _TAG_SIZE:
            try:
                return cipher.decrypt(stored[_PREFIX_SIZE:at], stored[at:], prefix + key)
            except InvalidTag:
                pass
        refuse(key, stored)
        return envelope.raise_damaged(
            key, "it does not decrypt: it was changed, or put in another's place"
        )


def refuse(key: bytes, stored: bytes) -> None:
    """Raise if what is stored under a key is a record that nobody encrypted.

    Raises:
        PlaintextRecordError: It is.
    """
    try:
        envelope.check(key, stored)
    except DamagedError:
        return
    raise PlaintextRecordError(
        f"record {key.hex()} of the encrypted store is not encrypted", record=key.hex()
    )


def _read_slots(header: bytes) -> tuple[Slot, ...]:
    fields = envelope.decode(HEADER, envelope.unseal(HEADER, header))
    version = fields[0] if isinstance(fields, list) and fields else None
    if isinstance(version, int) and version != VERSION:
        raise FormatVersionError(
            f"the store is encrypted in format {version}, this release reads {VERSION}",
            found=version,
            supported=(VERSION,),
        )
    try:
        _, rows = fields
        slots = tuple(Slot(*row) for row in rows)
        parts = [part for row in rows for part in row]
        if not 1 <= len(slots) <= _MAX_SLOTS or not all(type(part) is bytes for part in parts):
            raise ValueError("its slots are none")
    except (TypeError, ValueError) as error:
        envelope.raise_damaged(HEADER, f"unexpected field types: {error}")
    return slots
