"""Decryption of a store for the independent reader, written from docs/design/FORMAT.md alone."""

from __future__ import annotations

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.format.encodings import UnreadableError, read_number
from tests.format.reader import Reader

HEADER = b"\x00encryption"
PADDED_KINDS = (b"T", b"n")
TERM_KINDS = (b"r", b"m")
_ENCRYPTED_TERM_SIZE = 16 + 8


def decrypted(records: dict[bytes, bytes], key: bytes) -> dict[bytes, bytes]:
    """Return the decrypted keys and values of an encrypted store.

    Args:
        records: Keys and values of the database.
        key: The encryption key of the user.

    Raises:
        UnreadableError: The store differs from FORMAT.md or has another key.
    """
    names, data_keys = _secrets(records, key)
    found: dict[bytes, bytes] = {}
    for stored, value in records.items():
        if stored == HEADER:
            continue
        plain = _plain_key(stored, names)
        if value:
            if value[0] != 1:
                raise UnreadableError(f"{stored!r} is not encrypted")
            cipher = AESGCM(data_keys[value[1]])
            value = cipher.decrypt(value[2:14], value[14:], value[:2] + plain)
        found[plain] = value
    return found


def _secrets(records: dict[bytes, bytes], key: bytes) -> tuple[AESSIV, dict[int, bytes]]:
    version, slots = Reader(records).fields(HEADER)
    if version != 1:
        raise UnreadableError(f"unknown version {version} of encryption")
    for salt, check, nonce, sealed in slots:
        derived = HKDF(SHA256(), 48, salt, b"langgraph-lmdb key 1").derive(key)
        if derived[32:] == check:
            try:
                opened = AESGCM(derived[:32]).decrypt(nonce, sealed, HEADER + salt + check)
            except InvalidTag as error:
                raise UnreadableError("the secrets in the header are damaged") from error
            names, data_keys = msgpack.unpackb(opened)
            return AESSIV(names), dict(data_keys)
    raise UnreadableError("the store has another key")


def _plain_key(key: bytes, names: AESSIV) -> bytes:
    begin = 1 if key[:1] == b"s" else 0
    kind = key[begin : begin + 1]
    if kind in PADDED_KINDS:
        at = begin + 1 if kind == b"T" else read_number(key, begin + 1)[1]
        padded = names.decrypt(key[at:], [key[:at]])
        return key[:at] + padded.rstrip(b"\x00")[:-1]
    if kind in TERM_KINDS:
        at = begin + 1
        end = at + _ENCRYPTED_TERM_SIZE
        return key[:at] + names.decrypt(key[at:end], [key[:at]]) + key[end:]
    return key
