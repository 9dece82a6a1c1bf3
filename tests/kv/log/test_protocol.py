"""The protocol of the log holds in every order of steps, kills and failures of the power."""

from __future__ import annotations

import pytest

from tests.kv.log.protocol import Protocol, ProtocolError
from tests.kv.log.protocol_states import Process

pytestmark = pytest.mark.timeout(600)


def processes(text: str) -> list[Process]:
    """Return processes from their kinds and numbers of operations: `W2 R1`. `+`: it opens first."""
    return [
        Process(word[0], int(word[1]), "open" if word.endswith("+") else "idle")
        for word in text.split()
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("W2 W1", ""),
        ("W1 W1 R1", ""),
        ("W2 M1 R1", ""),
        ("W2 C1 R1", ""),
        ("W2 C1 V1", ""),
        ("W1 C1 W1+ V1", ""),
        ("W1 W1+ R1", ""),
        ("W3 W2", ""),
        ("W1 W1", "W1 W1"),
        ("W2", "W1 R1"),
    ],
)
@pytest.mark.parametrize("flushes", [True, False])
def test_the_protocol_holds(first: str, second: str, flushes: bool) -> None:
    Protocol(flushes=flushes).explore(processes(first), processes(second))


@pytest.mark.parametrize(
    ("first", "second"), [("W2 W1", ""), ("W1 R1", ""), ("W1 W1", "W1"), ("W2", "W1 W1")]
)
def test_the_protocol_holds_with_failing_calls(first: str, second: str) -> None:
    Protocol(faults=True).explore(processes(first), processes(second))


@pytest.mark.long
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("W2 W2 R2", ""),
        ("W4 M2 R2", ""),
        ("W2 M1 C1 R1", ""),
        ("W2 W1+ V2", ""),
        ("W2 W2", "W2 W1"),
        ("W2 W1 R1", "W2 R1"),
        ("W4", "W3 C1 R1"),
    ],
)
@pytest.mark.parametrize(("faults", "flushes"), [(False, True), (False, False), (True, True)])
def test_the_protocol_holds_for_more_processes(
    first: str, second: str, faults: bool, flushes: bool
) -> None:
    Protocol(faults=faults, flushes=flushes).explore(processes(first), processes(second))


@pytest.mark.parametrize(
    ("rule", "first", "second", "faults", "flushes"),
    [
        ("chain", "W4", "W2", False, False),
        ("flush", "W2 W1", "", False, True),
        ("flag", "W2 W1 R1", "", True, True),
        ("mend", "W2 W1 R1", "", True, True),
        ("new_object", "W2 M2 R2", "", False, True),
        ("exclude", "W2 W1", "", True, True),
        ("durable", "W2 M1 R2", "", False, True),
        ("restart", "W3 M1 R2", "", False, True),
        ("missing", "W2 C1 V1", "", False, True),
        ("unbar", "W2", "W2 W1", True, True),
    ],
)
def test_the_model_finds_the_fault_of_each_rule_that_is_left_out(
    rule: str, first: str, second: str, faults: bool, flushes: bool
) -> None:
    with pytest.raises(ProtocolError):
        Protocol([rule], faults=faults, flushes=flushes).explore(
            processes(first), processes(second)
        )
