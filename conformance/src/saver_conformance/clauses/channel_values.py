"""Clauses about channel values: each value is returned as it was put."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, checkpoint_id
from saver_conformance.values import FALSY, NESTED, NUMBERS, RICH, TEXT

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_FIRST = Ref("thread", checkpoint_id(0))
_VALUES = "Checkpoint.channel_values: the values of the channels at the time of the checkpoint"


def _round_trip(s: Session, value: Any) -> None:
    s.put(_FIRST, changes={"channel": value})
    s.expect_tuple(_FIRST, Part.VALUES)


@clause(
    "put.values.nested",
    cases=[({"b": 1, "a": [None, {}]},), ([[], {}, "", 0, b"", False],)],
    source=_VALUES,
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def nested(s: Session, data: DataObject) -> None:
    """Nested lists and dicts keep their types and their key order."""
    _round_trip(
        s, data.draw(st.one_of(st.lists(NESTED, max_size=3), st.dictionaries(TEXT, NESTED)))
    )


@clause(
    "put.values.text",
    cases=[
        *[("\0",), ("a\0b",), ("",), ("\U0001f600",), ("a\r\nb\r",), (" a \t\n",)],
        *[("e\u0301",), ("\ufeffa",), ("\u2028",), ("1",), ("null",), ("\x1f\x7f",)],
    ],
    source=_VALUES,
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def text(s: Session, data: DataObject) -> None:
    """A value may be any text, including NUL."""
    _round_trip(s, data.draw(st.sampled_from(["\0", "a\0b"]) | TEXT))


@clause(
    "put.values.falsy",
    cases=[(None,), (False,), (0,), (0.0,), ("",), (b"",), ([],), ({},)],
    source=_VALUES,
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def falsy(s: Session, data: DataObject) -> None:
    """None, False, 0, "", b"", [] and {} are stored and returned as values."""
    value = data.draw(FALSY)
    s.put(_FIRST, changes={"a": [1], "b": value, "c": value, "d": value})
    s.expect_tuple(_FIRST, Part.VALUES)
    second = s.put(Ref("thread", checkpoint_id(1)), parent=_FIRST, changes={"a": value})
    s.expect_tuple(second, Part.VALUES)


@clause(
    "put.values.numbers",
    cases=[(2**63 - 1,), (-(2**63),), (1e20,), (-0.0,), (1.0,), (math.nan,), (math.inf,), (True,)],
    source=_VALUES,
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def numbers(s: Session, data: DataObject) -> None:
    """Numbers keep their type and value, including 64-bit ints, NaN and infinity."""
    _round_trip(s, data.draw(NUMBERS))


@clause(
    "put.values.rich",
    cases=[
        (dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),),
        (dt.datetime(2026, 1, 1, 2, 3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=-3))),),
        (dt.date(2026, 1, 1),),
        (dt.timedelta(days=-1, microseconds=1),),
        (uuid.UUID(int=1),),
        (decimal.Decimal("1.500"),),
        ({1, 2},),
        (frozenset({1, 2}),),
    ],
    source="JsonPlusSerializer, the default serde",
    capability=Capability.PUT,
)
def rich(s: Session, data: DataObject) -> None:
    """Dates, UUIDs, decimals and sets, supported by the default serializer, keep their value."""
    _round_trip(s, data.draw(st.one_of(RICH, st.lists(RICH, max_size=2))))


@clause(
    "put.values.keys",
    cases=[({1: "a", 2: "b"},), ({1: "a", "1": "b"},), ({True: [1], None: {}, 1.5: "c"},)],
    source="JsonPlusSerializer, the default serde: the keys of a dict are of any simple type",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def keys(s: Session, data: DataObject) -> None:
    """The keys of a dict keep their type: int, float, bool, None and str are different keys."""
    names = st.sampled_from([0, 1, "0", "1", None, True, 1.5, "a"])
    value = data.draw(st.dictionaries(names, st.integers(0, 9), min_size=1))
    s.put(_FIRST, changes={"channel": value, "inner": [value]})
    s.put_writes(_FIRST, [("channel", value)])
    s.expect_tuple(_FIRST, Part.VALUES, Part.WRITES)


@clause(
    "put.values.large",
    cases=[(400,)],
    source=_VALUES,
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def large(s: Session, data: DataObject) -> None:
    """A value of several hundred kilobytes is returned unchanged."""
    size = data.draw(st.integers(1, 400)) * 1000
    s.put(_FIRST, changes={"channel": ["x" * size]})
    name = s.script.name("got")
    got = s.call("get_tuple", _FIRST.config, bind=name)
    expression = f'len({name}.checkpoint["channel_values"]["channel"][0])'
    values = {} if got is None else got.checkpoint["channel_values"]
    s.expect(expression, len((values.get("channel") or [""])[0]), size)


@clause(
    "put.values.lengths",
    cases=[(8,), (12,), (16,)],
    source=_VALUES,
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def lengths(s: Session, data: DataObject) -> None:
    """Values of every length around a power of two are returned unchanged."""
    power = data.draw(st.integers(7, 16))
    # A serializer adds up to nine bytes to a text, so one of these lengths fills a page exactly.
    sizes = range(2**power - 10, 2**power + 2)
    random = Random(power)  # noqa: S311 - a compressed value would have another length
    values = {f"c{size}": random.randbytes((size + 1) // 2).hex()[:size] for size in sizes}
    s.put(_FIRST, changes=values)
    s.put_writes(_FIRST, [*values.items()])
    s.expect_tuple(_FIRST, Part.VALUES, Part.WRITES)
