"""How often a migration decodes an object, and what it keeps of the objects."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from msgpack import ExtType, packb

from langgraph.checkpoint.lmdb.errors import DeserializationError
from langgraph.checkpoint.lmdb.migrate import migrate
from langgraph.checkpoint.lmdb.migrate.decoding import Decoder
from langgraph.checkpoint.lmdb.migrate.models import Key
from tests.migrate.test_values import STRICT, Order, Reversing, put

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Key("t", "", "1f")


class Counting:
    """A serializer that counts the objects that it decodes."""

    def __init__(self) -> None:
        self.decoded: list[bytes] = []
        inner = JsonPlusSerializer()

        def decode(code: int, content: bytes) -> Any:
            self.decoded.append(content)
            return inner.loads_typed(("msgpack", packb(ExtType(code, content))))

        self.serde = JsonPlusSerializer(__unpack_ext_hook__=decode)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "memory"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_each_message_is_decoded_once(
    kind: str, encrypted: bool, open_kind: Callable[..., Any]
) -> None:
    counting = Counting()
    serde = EncryptedSerializer(Reversing(), counting.serde) if encrypted else counting.serde
    source = open_kind(kind, serde)
    messages = [AIMessage(f"message {number}", id=f"{number}") for number in range(12)]
    parent = None
    for number in range(1, 13):
        config = put(source, {"messages": messages[:number]}, number, parent)
        source.put_writes(config, [("messages", messages[number - 1])], "task")
        parent = config["configurable"]["checkpoint_id"]
    counting.decoded.clear()
    target = open_kind("lmdb")
    assert migrate(source, target, workers=1).ok
    assert len(counting.decoded) == len(messages)
    found = target.get_tuple(config)
    assert found.checkpoint["channel_values"]["messages"] == messages
    assert found.pending_writes == [("task", "messages", messages[-1])]


def test_a_refused_type_is_an_error_each_time() -> None:
    decoder = Decoder(STRICT)
    stored = JsonPlusSerializer().dumps_typed([Order(1)])
    for _ in range(2):
        with pytest.raises(DeserializationError, match=r"refuses the type .*\.Order"):
            decoder.load(KEY, "order", *stored)


def test_objects_that_are_not_used_for_long_are_dropped() -> None:
    counting = Counting()
    decoder = Decoder(counting.serde, limit=20_000)
    first = AIMessage("first", id="first")

    def load(*values: Any) -> int:
        counting.decoded.clear()
        assert decoder.load(KEY, None, *counting.serde.dumps_typed([*values])) == [*values]
        return len(counting.decoded)

    numbers = count()
    assert load(first) == 1
    for _ in range(40):  # used in each: kept
        assert load(first, AIMessage(f"other {next(numbers)}", id="other")) == 1
    for _ in range(40):
        load(AIMessage(f"other {next(numbers)}", id="other"))
    assert load(first) == 1


def test_a_large_object_is_not_kept() -> None:
    counting = Counting()
    decoder = Decoder(counting.serde)
    stored = counting.serde.dumps_typed([AIMessage("x" * 100_000, id="large")])
    for _ in range(2):
        decoder.load(KEY, None, *stored)
    assert len(counting.decoded) == 2
