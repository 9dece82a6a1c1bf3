"""Errors of serializers and ciphers name the channel whose value failed."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.errors import SerializationError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.values import checkpoint, config


class FailingCipher(CipherProtocol):
    """A cipher that fails for payloads with a certain text."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        if b"secret" in plaintext:
            raise RuntimeError("the key service is down")
        return "none", plaintext

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return ciphertext


@pytest.mark.parametrize(
    ("channel", "metadata", "value"), [("x", {}, "secret"), ("metadata", {"who": "secret"}, "x")]
)
def test_failing_cipher_raises_serialization_error(channel: str, metadata: Any, value: str) -> None:
    saver = KvSaver(MemoryStore(), serde=EncryptedSerializer(FailingCipher()))
    with pytest.raises(SerializationError, match="the key service is down") as caught:
        saver.put(config("t"), checkpoint("1", 1, value), metadata, {"x": 1})
    assert caught.value.channel == channel
    assert caught.value.thread_id == "t"
    assert saver.get_tuple(config("t")) is None
