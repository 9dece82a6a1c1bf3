"""Clauses about the fields of checkpoints and metadata, and about fields that disagree with ids."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, Session, at, checkpoint_id

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_FIRST = Ref("thread", checkpoint_id(0))
_fields = partial(clause, capability=Capability.PUT)

#: Fields of a checkpoint, valid and returned unchanged.
_FIELDS: list[dict[str, Any]] = [
    {"v": 1},
    {"v": 3},
    {"v": 5},
    {"v": 99},
    {"pending_sends": []},
    {"x_custom": {"a": [1, None]}},
    {"x_none": None},
    {"versions_seen": {"node": {}, "__input__": {}, "": {}}},
    {"versions_seen": {"node": {"a": 0, "b": ""}}},
    {"updated_channels": []},
    {"updated_channels": ["b", "a", ""]},
    {"ts": ""},
    {"ts": "1970-01-01T00:00:00.000001+14:00"},
]

#: Metadata of a checkpoint.
_METADATA: list[dict[str, Any]] = [
    {},
    {"a.b": 1, "a": {"b": 2}},
    {"a'b": 1, 'a"b': 2, "a\\b": 3, "a`b": 4},
    {"": 1, " ": 2, "$": 3, "a[0]": 4, "a b": 5, "ä": 6},
    {"A": 1, "a": 2, "step": 3, "Step": 4},
    {"a": {"b": {"c": {"d": {"e": [{"f": [[], {}, None]}]}}}}},
    {"a": 0.5, "b": 1, "c": True, "d": "1", "e": None, "f": "", "g": [], "h": {}},
    {"a": 2**53 - 1, "b": -1, "c": "\u2028\U0001f600", "d": "x" * 10_000},
    {"source": "fork", "step": -1, "parents": {"": "x", "child": "y"}},
    {"limit": 1, "filter": 2, "thread": 3, "metadata": {"metadata": 4}},
]


@_fields("fields.unchanged", source="Checkpoint is a dict", cases=[(f,) for f in _FIELDS])
def unchanged(s: Session, data: DataObject) -> None:
    """Fields of any format, unknown fields and empty entries are returned unchanged."""
    s.put(_FIRST, fields=data.draw(st.sampled_from(_FIELDS)), changes={"a": [1]})
    s.put(Ref("thread", checkpoint_id(1)), changes={"a": [2]})
    s.expect_tuple(_FIRST, Part.FIELDS, Part.VALUES)
    s.expect_list(at("thread"), Part.FIELDS, Part.VALUES)


@_fields(
    "metadata.keys",
    source="CheckpointMetadata is a dict; users put any keys of str into it",
    cases=[(m,) for m in _METADATA],
)
def keys(s: Session, data: DataObject) -> None:
    """Metadata may have any keys, nested values, and no entries."""
    metadata = data.draw(st.sampled_from(_METADATA))
    s.put(_FIRST, metadata=metadata)
    s.put(Ref("thread", checkpoint_id(1)), metadata={"step": 1, "source": "loop"})
    s.expect_tuple(_FIRST, Part.METADATA)
    s.expect_list(at("thread"), Part.METADATA)


@_fields(
    "order.by_id",
    source="Checkpoint.id: monotonically increasing, so can be used for sorting checkpoints; "
    "ts and step may disagree after a fork or on another clock",
    severity=Severity.CRITICAL,
    cases=[([3, 1, 2, 0], [0, 2, 1, 3]), ([0, 1, 2, 3], [3, 2, 1, 0])],
)
def by_id(s: Session, data: DataObject) -> None:
    """The id decides every order, even if ts, step and the order of puts disagree."""
    inserted = data.draw(st.permutations(range(4)))
    later = data.draw(st.permutations(range(4)))
    for number in inserted:
        day = later[number] + 1
        s.put(
            Ref("thread", checkpoint_id(number)),
            fields={"ts": f"2026-01-0{day}T00:00:00+00:00"},
            metadata={"source": "loop", "step": day},
        )
        # A later write must not make its checkpoint the latest.
        s.put_writes(Ref("thread", checkpoint_id(number)), [("a", number)])
    s.put_writes(Ref("thread", checkpoint_id(0)), [("b", "late")], "late")
    s.expect_tuple(at("thread"), *ALL)
    s.expect_list(at("thread"), *ALL)
    s.expect_list(at("thread"), limit=2)
    s.expect_list(at("thread"), before=at("thread", "", checkpoint_id(2)))
    if Capability.PRUNE in s.claimed:
        s.prune(["thread"], "keep_latest")
        s.expect_list(at("thread"), *ALL)


@_fields(
    "order.as_text",
    source="Checkpoint.id is a str, which InMemorySaver, SqliteSaver and PostgresSaver compare",
    cases=[
        (["9", "10", "010", "1", "1a", "a", "1-0"],),
        (["B", "a", "A", "b", "_", "aB", "ab"],),
        (["a", "a ", "a-", "-a", " a", "é", "e", "z", "\U0001f600", "\uffff"],),
    ],
)
def as_text(s: Session, data: DataObject) -> None:
    """Ids are ordered by code point: not as numbers, by length, or by the rules of a language."""
    ids = st.sampled_from(["9", "10", "010", "1", "1a", "a", "ab", "B", "A"])
    for number, text in enumerate(data.draw(st.lists(ids, min_size=2, unique=True))):
        s.put(Ref("thread", text), metadata={"source": "loop", "step": number})
    s.expect_tuple(at("thread"), Part.ID)
    s.expect_list(at("thread"))
    for text in ("1", "10", "9", "a", "B"):
        s.expect_list(at("thread"), before=at("thread", "", text))
