"""The keys of an encrypted store: the user's keys, and the random keys that they decrypt.

All data is encrypted with random keys of the store. The header record holds these keys, wrapped
(encrypted) with each of the user's keys. So two stores never share a data key, and the user's key
can be changed while the store is in use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from langgraph.checkpoint.lmdb.encryption.key_names import KeyNameCipher
from langgraph.checkpoint.lmdb.encryption.key_source import HEADER, KEY_SIZE, KeySource
from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, PlaintextRecordError
from langgraph.checkpoint.lmdb.format import envelope

VERSION = 1
"""Format version of the header."""
_VERSION_BYTE = 1
"""First byte of each encrypted value; the second is the id of the data key."""
_PREFIX_SIZE = 2
_NONCE_SIZE = 12
_TAG_SIZE = 16
_SALT_SIZE = 16
_CHECK_SIZE = 16
_NAME_SECRET_SIZE = 64
_MAX_KEY_IDS = 256
_MAX_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """A copy of the store's own keys, wrapped with one of the user's keys."""

    salt: bytes
    check: bytes
    """Value by which the user's key is recognized."""
    nonce: bytes
    wrapped: bytes

    @classmethod
    def wrap(cls, key: bytes, secrets: bytes) -> Slot:
        """Return a slot that holds the secrets, wrapped with the user's key."""
        salt, nonce = os.urandom(_SALT_SIZE), os.urandom(_NONCE_SIZE)
        wrapping_key, check = _derive(key, salt)
        wrapped = AESGCM(wrapping_key).encrypt(nonce, secrets, HEADER + salt + check)
        return cls(salt, check, nonce, wrapped)

    def unwrap(self, key: bytes) -> bytes:
        """Return the secrets.

        Raises:
            DamagedError: The secrets do not decrypt with a key that fits.
        """
        wrapping_key, _ = _derive(key, self.salt)
        try:
            return AESGCM(wrapping_key).decrypt(
                self.nonce, self.wrapped, HEADER + self.salt + self.check
            )
        except (InvalidTag, ValueError):
            return envelope.raise_damaged(HEADER, "the keys in the header do not decrypt")

    def fits(self, key: bytes) -> bool:
        """Return True if the slot was made with this key of the user."""
        return _derive(key, self.salt)[1] == self.check


@dataclass(frozen=True, slots=True)
class Keyring:
    """The store's own keys."""

    header: bytes | None
    """Header record that holds the keys, or None for keys that were never stored."""
    slots: tuple[Slot, ...]
    """Slots of the header, the one of the latest rotation first."""
    name_secret: bytes = field(repr=False)
    """Key of the names in keys."""
    data_keys: dict[int, bytes] = field(repr=False)
    """Keys of values by id. The last one encrypts new values."""
    names: KeyNameCipher = field(init=False, repr=False)
    """Cipher of the names in keys."""
    _ciphers: dict[bytes, AESGCM] = field(init=False, repr=False)
    _new_prefix: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ciphers = {
            bytes((_VERSION_BYTE, key_id)): AESGCM(key) for key_id, key in self.data_keys.items()
        }
        object.__setattr__(self, "names", KeyNameCipher(self.name_secret))
        object.__setattr__(self, "_ciphers", ciphers)
        object.__setattr__(self, "_new_prefix", [*ciphers][-1])

    @classmethod
    def generate(cls) -> Keyring:
        """Return random keys without a header."""
        return cls(None, (), os.urandom(_NAME_SECRET_SIZE), {0: os.urandom(KEY_SIZE)})

    @classmethod
    def open(cls, header: bytes, source: KeySource) -> Keyring:
        """Return the keys in a header.

        Raises:
            WrongKeyError: None of the user's keys opens the header.
            DamagedError: The header is damaged.
            FormatVersionError: A newer release wrote the header.
        """
        slots = _read_slots(header)
        key = source.find(lambda key: any(slot.fits(key) for slot in slots))
        secrets = next(slot for slot in slots if slot.fits(key)).unwrap(key)
        name_secret, data_keys = envelope.decode(HEADER, secrets)
        return cls(header, slots, name_secret, {key_id: bytes(key) for key_id, key in data_keys})

    def wrapped_for(self, user_keys: Sequence[bytes]) -> Keyring:
        """Return the keyring with a header that each of the user's keys opens."""
        secrets = envelope.encode((self.name_secret, [*self.data_keys.items()]))
        slots = tuple(Slot.wrap(key, secrets) for key in dict.fromkeys(user_keys))
        fields = [(slot.salt, slot.check, slot.nonce, slot.wrapped) for slot in slots]
        payload = envelope.encode((VERSION, fields))
        header = envelope.seal(HEADER, envelope.pack(payload, None))
        return Keyring(header, slots, self.name_secret, self.data_keys)

    @property
    def rotating(self) -> bool:
        """True if some values may be encrypted with an old data key."""
        return len(self.data_keys) > 1

    def with_new_key(self) -> Keyring:
        """Return a keyring with the last data key and a new one, which encrypts new values."""
        last = [*self.data_keys][-1]
        new = (last + 1) % _MAX_KEY_IDS
        data_keys = {last: self.data_keys[last], new: os.urandom(KEY_SIZE)}
        return Keyring(None, (), self.name_secret, data_keys)

    def without_old_keys(self) -> Keyring:
        """Return a keyring with only the last data key."""
        last = [*self.data_keys][-1]
        return Keyring(None, (), self.name_secret, {last: self.data_keys[last]})

    def uses_old_key(self, stored: bytes) -> bool:
        """Return True if a stored value is encrypted with an old data key."""
        prefix = stored[:_PREFIX_SIZE]
        return prefix != self._new_prefix and prefix in self._ciphers

    def encrypt(self, key: bytes, value: bytes) -> bytes:
        """Return the stored form of the value of a plain key."""
        prefix, nonce = self._new_prefix, os.urandom(_NONCE_SIZE)
        return prefix + nonce + self._ciphers[prefix].encrypt(nonce, value, prefix + key)

    def decrypt(self, key: bytes, stored: bytes) -> bytes:
        """Return the value of a plain key.

        Raises:
            PlaintextRecordError: The value was stored without encryption.
            DamagedError: The value was not encrypted for this key of this store.
        """
        prefix = stored[:_PREFIX_SIZE]
        cipher = self._ciphers.get(prefix)
        at = _PREFIX_SIZE + _NONCE_SIZE
        if cipher is not None and len(stored) >= at + _TAG_SIZE:
            try:
                return cipher.decrypt(stored[_PREFIX_SIZE:at], stored[at:], prefix + key)
            except InvalidTag:
                pass
        reject_plaintext(key, stored)
        return envelope.raise_damaged(
            key, "the value does not decrypt: it was changed, or moved from another key"
        )


def reject_plaintext(key: bytes, stored: bytes) -> None:
    """Raise if a stored value is a valid record without encryption.

    Raises:
        PlaintextRecordError: The value is not encrypted.
    """
    try:
        envelope.check(key, stored)
    except DamagedError:
        return
    raise PlaintextRecordError(
        f"record {key.hex()} of the encrypted store is not encrypted", record=key.hex()
    )


def _derive(key: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return the key that wraps the secrets, and the value by which the user's key is known."""
    size = KEY_SIZE + _CHECK_SIZE
    kdf = HKDF(algorithm=SHA256(), length=size, salt=salt, info=b"langgraph-lmdb key 1")
    derived = kdf.derive(key)
    return derived[:KEY_SIZE], derived[KEY_SIZE:]


def _read_slots(header: bytes) -> tuple[Slot, ...]:
    fields = envelope.decode(HEADER, envelope.unseal(HEADER, header))
    version = fields[0] if isinstance(fields, list) and fields else None
    if isinstance(version, int) and version != VERSION:
        raise FormatVersionError(
            f"the encryption of the store has format {version}, this release reads {VERSION}",
            found=version,
            supported=(VERSION,),
        )
    try:
        _, rows = fields
        slots = tuple(Slot(*row) for row in rows)
        parts = [part for row in rows for part in row]
        if not 1 <= len(slots) <= _MAX_SLOTS or not all(type(part) is bytes for part in parts):
            raise ValueError("invalid key slots")
    except (TypeError, ValueError) as error:
        envelope.raise_damaged(HEADER, f"unexpected fields of the header: {error}")
    return slots
