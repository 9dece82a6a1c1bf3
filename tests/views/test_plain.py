"""Plain values: nothing is imported, nothing is lost, and JSON has one form for each type."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Interrupt, Send

from langgraph.checkpoint.lmdb.errors import SerializationError
from langgraph.checkpoint.lmdb.views.plain import Opaque, PlainSerializer, Snapshot, Typed, to_json

LANGGRAPH = JsonPlusSerializer()
PLAIN = PlainSerializer()
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.text(st.characters(blacklist_categories=("Cs",))),
        st.binary(max_size=20),
        st.builds(HumanMessage, st.sampled_from(["a", "b"]), id=st.just("1")),
        st.builds(Send, st.just("node"), st.integers(0, 9)),
        st.sets(st.integers(0, 9)),
        st.tuples(st.integers(0, 9)),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
)


@dataclass
class Note:
    """A class that a store names."""

    text: str


@given(VALUES)
def test_written_again_it_is_the_same_value(value: Any) -> None:
    typed = LANGGRAPH.dumps_typed(value)
    read = PLAIN.loads_typed(typed)
    again = PLAIN.dumps_typed(read)
    assert again[0] == typed[0]
    assert PLAIN.loads_typed(again) == read
    assert LANGGRAPH.loads_typed(again) == LANGGRAPH.loads_typed(typed)


@given(VALUES)
def test_every_value_has_a_form_in_json(value: Any) -> None:
    found = to_json(PLAIN.loads_typed(LANGGRAPH.dumps_typed(value)))
    assert json.loads(json.dumps(found)) == found


def test_class_is_named_and_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = LANGGRAPH.dumps_typed({"note": Note("secret")})
    monkeypatch.delitem(sys.modules, __name__)  # an import would fail or run this module again
    read = PLAIN.loads_typed(typed)
    assert __name__ not in sys.modules
    note = read["note"]
    assert isinstance(note, Typed)
    assert note.type == f"{__name__}.Note"
    assert note.get("text") == "secret"
    assert note.get("missing") is None
    assert to_json(read) == {"note": {"$type": note.type, "$value": {"text": "secret"}}}


def test_send_and_interrupt_have_what_run_states_read() -> None:
    send = PLAIN.loads_typed(LANGGRAPH.dumps_typed(Send("node", {"a": 1})))
    assert (send.node, send.arg) == ("node", {"a": 1})
    found = PLAIN.loads_typed(LANGGRAPH.dumps_typed(Interrupt("Publish?", id="7")))
    assert (found.value, found.id) == ("Publish?", "7")


@pytest.mark.parametrize(
    "typed",
    [
        ("pickle", b"cos\nsystem\n"),
        ("msgpack", b"\xc1"),
        ("json", b"{"),
        ("aes", b"x"),
        ("msgpack", ormsgpack.packb(1) + b"rest"),
    ],
)
def test_other_bytes_are_kept_as_they_are(typed: tuple[str, bytes]) -> None:
    read = PLAIN.loads_typed(typed)
    assert read == Opaque(*typed)
    assert PLAIN.dumps_typed(read) == typed
    assert to_json(read)["$type"] == typed[0]


def test_object_that_is_not_plain_is_refused() -> None:
    with pytest.raises(SerializationError, match="AIMessage is not plain data"):
        PLAIN.dumps_typed([AIMessage("x")])


def test_json_of_special_values() -> None:
    assert to_json(math.inf) == {"$type": "float", "$value": "inf"}
    assert to_json(b"ab") == {"$bytes": "YWI="}
    assert to_json(Snapshot([1])) == {"$type": "snapshot", "$value": [1]}
    assert to_json({1: (2, None)}) == {"1": [2, None]}
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    assert "..." in str(to_json(deep))
