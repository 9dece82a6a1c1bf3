"""Decoders of random bytes return a result or raise an IntegrityError."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.errors import IntegrityError
from tests.fuzz import hostility
from tests.fuzz.decoders import DECODERS, RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.faults

packed = hostility.anything.map(hostility.packed)


@pytest.mark.parametrize("decode", [*DECODERS.values()], ids=[*DECODERS])
@given(data=st.binary(max_size=80) | hostility.encodings | packed)
def test_random_bytes_raise_only_integrity_errors(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    with suppress(IntegrityError):
        decode(data)


@pytest.mark.parametrize("name", [*RECORDS])
@given(data=st.data())
def test_changed_payload_raises_only_integrity_errors(name: str, data: st.DataObject) -> None:
    """The payload is truncated, or some of its bytes are replaced."""
    payload, decode = RECORDS[name]
    at = data.draw(st.integers(0, len(payload)))
    new = data.draw(st.binary(max_size=6))
    tail = data.draw(st.booleans())
    with suppress(IntegrityError):
        decode(payload[:at] + new + (payload[at + len(new) :] if tail else b""))
