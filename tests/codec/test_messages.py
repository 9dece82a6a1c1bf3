"""Equal fingerprints mean equal bytes, and templates make equal messages."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from msgpack import ExtType, Timestamp

from langgraph.checkpoint.lmdb.codec import messages
from tests.codec.mutations import message, mutate
from tests.saver.same import rebuilt, same

REQUIRED: dict[str, dict[str, Any]] = {
    "BaseMessageChunk": {"type": "chunk"},
    "RemoveMessage": {"id": "1", "content": ""},
    "ToolMessage": {"tool_call_id": "c"},
    "ToolMessageChunk": {"tool_call_id": "c"},
    "FunctionMessage": {"name": "f"},
    "FunctionMessageChunk": {"name": "f"},
    "ChatMessage": {"role": "r"},
    "ChatMessageChunk": {"role": "r"},
}
CLASSES = sorted(messages.MESSAGE_TYPES - {BaseMessage}, key=lambda cls: cls.__name__)
seeds = st.integers(0, 2**32)


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


def made(cls: type, length: int = 4) -> Any:
    """Return a message of a class with filled containers."""
    fields: dict[str, Any] = {
        "content": "x" * length,
        "id": "m",
        "additional_kwargs": {"a": [1, {"b": 2.0}]},
    }
    fields |= REQUIRED.get(cls.__name__, {})
    if cls.__name__ == "RemoveMessage":
        del fields["content"]
    return cls(**fields)


def template_of(original: Any) -> messages.MessageTemplate | None:
    """Return the template of one message."""
    (template,) = messages.make_templates([original], messages.fingerprints([original]))
    return template


def test_all_message_classes_of_langchain_are_known() -> None:
    names = {cls.__name__ for cls in CLASSES}
    assert {"HumanMessage", "AIMessage", "AIMessageChunk", "ToolMessage", "SystemMessage"} <= names
    assert {"RemoveMessage", "FunctionMessage", "ChatMessage", "HumanMessageChunk"} <= names


@pytest.mark.parametrize("cls", CLASSES)
def test_template_makes_equal_messages(cls: type) -> None:
    original = rebuilt(made(cls))
    before = copy.deepcopy(original)
    template = template_of(original)
    assert template is not None
    first, second = messages.instantiate([cls, cls], [template, template])
    assert same(first, original)
    first.additional_kwargs["a"][1]["b"] = "changed"
    first.additional_kwargs["c"] = 1
    first.__pydantic_fields_set__.add("x")
    assert same(second, original)
    assert same(original, before)
    assert first != second


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("length", [4, 4000])
@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "content", "else"),
        lambda m: setattr(m, "content", m.content[:-1] + "y"),
        lambda m: setattr(m, "content", None),
        lambda m: setattr(m, "id", "else"),
        lambda m: setattr(m, "extra", 1),
        lambda m: m.additional_kwargs.update(z=None),
        lambda m: m.additional_kwargs["a"].append(1),
        lambda m: m.additional_kwargs["a"].__setitem__(0, True),
        lambda m: m.additional_kwargs["a"].__setitem__(0, 1.0),
        lambda m: m.additional_kwargs["a"][1].__setitem__("b", 2),
        lambda m: m.additional_kwargs.__setitem__("a", (1, {"b": 2.0})),
        lambda m: m.additional_kwargs["a"][1].clear(),
        lambda m: m.response_metadata.update(model="m"),
    ],
)
def test_any_change_changes_the_fingerprint(cls: type, length: int, change: Any) -> None:
    one, other = made(cls, length), made(cls, length)
    assert messages.fingerprints([one]) == messages.fingerprints([other])
    change(other)
    assert messages.fingerprints([one]) != messages.fingerprints([other])


def is_json_only(message: BaseMessage) -> bool:
    """Return True if a message is made of JSON types only, and has no private attributes."""
    if getattr(message, "__pydantic_private__", None) is not None:
        return False
    return messages._is_json([message.__dict__, message.__pydantic_extra__])


@given(seeds, seeds)
def test_messages_with_equal_fingerprints_are_serialized_to_equal_bytes(
    seed: int, change: int
) -> None:
    """The codec relies on this for messages of JSON types."""
    serde = JsonPlusSerializer()
    one = message(Random(seed))
    other = copy.deepcopy(one)
    mutate(Random(change), other)
    if is_json_only(one) and messages.fingerprints([one]) == messages.fingerprints([other]):
        assert type(one) is not type(other) or serde.dumps_typed(one) == serde.dumps_typed(other)
    assert same(one, message(Random(seed)))


@given(seeds, seeds)
def test_fingerprint_shows_whether_a_message_has_json_types_only(seed: int, change: int) -> None:
    one = message(Random(seed))
    mutate(Random(change), one)
    (fingerprint,) = messages.fingerprints([one])
    if messages.shows_json_only(fingerprint):
        assert is_json_only(one)
    elif isinstance(fingerprint, (bytes, tuple)):
        assert not is_json_only(one)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("length", [4, 0xC4, 0xD8, 4000])
@pytest.mark.parametrize(
    "value", ["x" * 0xC5, "\u0105\u05d0\u0600", 1.5, {1: None}, [[]], True, -5]
)
def test_fingerprint_of_json_types_shows_them(cls: type, length: int, value: Any) -> None:
    one = made(cls, length)
    one.additional_kwargs["b"] = value
    assert messages.shows_json_only(*messages.fingerprints([one]))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    "value",
    [
        *(b"x", bytearray(b"x"), memoryview(b"x"), [b""], {b"k": 1}, {"k": [b"x" * 300]}),
        *((1,), {1}, Text("x"), ExtType(1, b""), Timestamp(1), 1 << 70),
    ],
)
@pytest.mark.parametrize("is_extra", [False, True])
def test_fingerprint_of_other_types_shows_them(cls: type, value: Any, is_extra: bool) -> None:
    one = made(cls)
    if is_extra:
        object.__setattr__(one, "__pydantic_extra__", {"b": value})
    else:
        one.additional_kwargs["b"] = value
    assert not messages.shows_json_only(*messages.fingerprints([one]))


def test_fingerprint_shows_private_attributes() -> None:
    one = made(HumanMessage)
    object.__setattr__(one, "__pydantic_private__", {"a": 1})
    assert not messages.shows_json_only(*messages.fingerprints([one]))
    assert messages.fingerprints([one]) != messages.fingerprints([one])


@given(seeds)
def test_only_messages_of_json_types_have_templates(seed: int) -> None:
    original = rebuilt(message(Random(seed)))
    template = template_of(original)
    assert (template is not None) == (
        type(original) in messages.MESSAGE_TYPES
        and messages.shows_json_only(*messages.fingerprints([original]))
    )
    if template is not None:
        assert same(messages.instantiate([type(original)], [template])[0], original)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        *(("__pydantic_fields_set__", v) for v in (None, [], ["x"], [[1]], {1}, {"x": 1}, {(1,)})),
        *(("__pydantic_extra__", v) for v in ([], ["x"], "x", 1, {1})),
    ],
)
def test_message_that_pydantic_refuses_has_no_template(attribute: str, value: Any) -> None:
    """Deserialization of a forged store can make such a message."""
    message = HumanMessage.model_construct(content="said", type="human")
    assert template_of(message) is not None
    object.__setattr__(message, attribute, value)
    assert template_of(message) is None


def test_names_of_extra_attributes_are_not_cached() -> None:
    before = messages._shared.cache_info().currsize
    for number in range(100):
        original = rebuilt(HumanMessage("said", **{f"extra {number}": 1}))
        template = template_of(original)
        assert template is not None
        assert same(messages.instantiate([HumanMessage], [template])[0], original)
    assert messages._shared.cache_info().currsize <= before + 2
