"""The check of concurrent histories."""

from __future__ import annotations

from typing import Any

import pytest

from saver_conformance.linearizability import Event, linearizable


def _register(state: Any, call: Any) -> tuple[Any, Any]:
    """Apply a write (a value) or a read (None) to a register."""
    return (state, state) if call is None else (call, None)


def _events(*rows: tuple[Any, Any, int, int]) -> list[Event]:
    return [Event(*row) for row in rows]


@pytest.mark.parametrize(
    "history",
    [
        _events(),
        _events((1, None, 0, 1), (None, 1, 2, 3)),
        _events((1, None, 0, 5), (None, 0, 1, 2), (None, 1, 3, 4)),
        _events((1, None, 0, 9), (2, None, 0, 9), (None, 2, 1, 2), (None, 1, 3, 4)),
    ],
)
def test_history_with_an_order_is_linearizable(history: list[Event]) -> None:
    assert linearizable(history, 0, _register)


@pytest.mark.parametrize(
    "history",
    [
        _events((None, 1, 0, 1)),
        _events((1, None, 0, 1), (None, 0, 2, 3)),
        _events((1, None, 0, 9), (None, 1, 1, 2), (None, 0, 3, 4)),
        _events((1, None, 0, 9), (None, 1, 1, 2), (None, 0, 3, 4), (None, 1, 5, 6)),
    ],
)
def test_history_without_an_order_is_not_linearizable(history: list[Event]) -> None:
    assert not linearizable(history, 0, _register)
