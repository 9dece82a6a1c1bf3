"""Random values, and random changes of them in place."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

try:
    import numpy as np
except ImportError:  # optional: without NumPy all other values are tested
    np = None

if TYPE_CHECKING:
    from random import Random

_ATOMS: tuple[Any, ...] = (
    *(0, 1, 1.0, True, False, None, -1, 2**40, -(2**63), 2**64 - 1, 0.5, -0.0, 0.0),
    *(float("nan"), float("inf"), "", "1", "text", "zé€𝄞", b"", b"1", b"text"),
)
_TYPE_ONLY = {1: (True, 1.0, "1", 1), 0: (False, 0.0, -0.0, None, 0)}
_CLASSES = (HumanMessage, AIMessage, SystemMessage, HumanMessageChunk, AIMessageChunk)


def text(rng: Random, size: int | None = None) -> str:
    """Return a text, mostly short and sometimes long enough for several chunks."""
    size = size or rng.choice((0, 1, 20, 200, 200, 3000, 30_000))
    return "".join(rng.choices("abcdefghij klmnop\nqrstuvé€𝄞", k=size))


def atom(rng: Random) -> Any:
    """Return a value without parts."""
    return text(rng) if rng.random() < 0.3 else rng.choice(_ATOMS)


def odd(rng: Random) -> Any:
    """Return a value that JSON does not have."""
    made: list[Any] = [
        bytearray(b"bytes"),
        {1, 2},
        frozenset("ab"),
        deque([1, 2]),
        (1, [2], "3"),
        uuid.UUID(int=rng.getrandbits(100)),
        decimal.Decimal("1.50"),
        dt.datetime(2024, 5, 6, 7, tzinfo=dt.timezone.utc),
        pathlib.Path("/a/b"),
        HumanMessage("inside", id="i"),
        {1: "one", "1": "text"},
        [[], {}, ()],
    ]
    if np is not None:
        made += [np.arange(3), np.array([[1.5]])] * 3
    return rng.choice(made)


def thing(rng: Random, depth: int = 2) -> Any:
    """Return a value of any type."""
    roll = rng.random()
    if depth and roll < 0.15:
        return [thing(rng, depth - 1) for _ in range(rng.randrange(4))]
    if depth and roll < 0.3:
        return {f"k{rng.randrange(9)}": thing(rng, depth - 1) for _ in range(rng.randrange(4))}
    if roll < 0.4:
        return odd(rng)
    return message(rng) if roll < 0.45 else atom(rng)


def message(rng: Random) -> BaseMessage:
    """Return a message of any class."""
    body, identity = text(rng), rng.choice((None, f"m{rng.randrange(20)}"))
    kind = rng.randrange(9)
    if kind < 2:
        return HumanMessage(body, id=identity)
    if kind == 2:
        call = {"name": "tool", "args": {"q": [1, {"deep": body}]}, "id": "c", "type": "tool_call"}
        return AIMessage(body, id=identity, tool_calls=[call])
    if kind == 3:
        return ToolMessage(body, tool_call_id="c", artifact=thing(rng, 1))
    if kind == 4:
        return AIMessage([{"type": "text", "text": body}, "plain"], additional_kwargs={"n": 1})
    if kind == 5:
        return ChatMessage(body, role="judge", id=identity)
    if kind == 6:
        return rng.choice((FunctionMessage(body, name="f"), RemoveMessage(id="m1")))
    if kind == 7:
        return AIMessageChunk(body, tool_call_chunks=[], response_metadata={"model": "m"})
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    return AIMessage(body, usage_metadata=usage, name="who")


def value(rng: Random, kind: str) -> Any:
    """Return a new value of a kind."""
    if kind == "messages":
        return [message(rng) for _ in range(rng.randrange(12))]
    if kind == "message":
        return message(rng)
    if kind == "text":
        return text(rng, rng.choice((100, 5000, 60_000)))
    if kind == "bytes":
        return rng.randbytes(rng.choice((100, 5000, 60_000)))
    if kind == "list":
        return [thing(rng) for _ in range(rng.randrange(30))]
    return {f"k{n}": thing(rng) for n in range(rng.randrange(30))}


KINDS = ("messages", "message", "text", "bytes", "list", "dict")


def mutate(rng: Random, found: Any) -> Any:
    """Change a value and return it; a container or a message changes in place."""
    places = _inside(found, [])
    if isinstance(found, (str, bytes)) or not places:
        return _spliced(rng, found) if isinstance(found, (str, bytes)) else thing(rng)
    place = rng.choice(places)
    if isinstance(place, list):
        _change_list(rng, place)
    elif isinstance(place, dict):
        _change_dict(rng, place)
    else:
        _change_message(rng, place)
    return found


def _inside(found: Any, places: list[Any]) -> list[Any]:
    """Return the containers and messages in a value."""
    if isinstance(found, BaseMessage):
        places.append(found)
        _inside([*found.__dict__.values()], places).pop()
    elif isinstance(found, dict):
        for part in found.values():
            _inside(part, places)
        places.append(found)
    elif isinstance(found, (list, tuple)):
        for part in found:
            _inside(part, places)
        if isinstance(found, list):
            places.append(found)
    return places


def _spliced(rng: Random, found: str | bytes) -> Any:
    start = rng.randrange(len(found) + 1)
    stop = min(len(found), start + rng.choice((0, 0, 1, 10, 5000)))
    new: Any = text(rng) if isinstance(found, str) else rng.randbytes(rng.choice((0, 1, 50, 5000)))
    if rng.random() < 0.2:
        return found[stop:] + found[:stop]  # the halves swapped
    return found[:start] + new + found[stop:]


def _varied(rng: Random, found: Any) -> Any:
    """Return a similar value: of another type, in another order, in another container."""
    if isinstance(found, (bool, int, float)) and found in _TYPE_ONLY:
        return rng.choice(_TYPE_ONLY[found])
    if isinstance(found, list):
        return tuple(found)
    if isinstance(found, tuple):
        return list(found)
    if isinstance(found, bytes):
        return bytearray(found)
    if isinstance(found, bytearray):
        return bytes(found)
    if isinstance(found, (str, bytes)):
        return _spliced(rng, found)
    if np is not None and isinstance(found, np.ndarray):  # the same bytes as another type
        return rng.choice((found.view("<f8"), found.view("<i8"), found.tobytes()))
    return thing(rng)


def _change_list(rng: Random, place: list[Any]) -> None:
    messages = place and all(isinstance(part, BaseMessage) for part in place)
    new = message(rng) if messages and rng.random() < 0.9 else thing(rng)
    how = rng.randrange(9)
    if how == 0 or not place:
        place.append(new)
    elif how == 1:
        place.insert(0, new)
    elif how == 2:
        place.insert(rng.randrange(len(place)), new)
    elif how == 3:
        del place[rng.randrange(len(place))]
    elif how == 4:
        rng.shuffle(place)
    elif how == 5:
        place.append(rng.choice(place))  # the same object twice
    elif how == 6:
        del place[rng.randrange(len(place)) :]
    elif how == 7:
        place[rng.randrange(len(place))] = new
    else:
        at = rng.randrange(len(place))
        place[at] = _reclassed(rng, place[at]) if messages else _varied(rng, place[at])


def _change_dict(rng: Random, place: dict[Any, Any]) -> None:
    key = rng.choice([*place]) if place else "first"
    how = rng.randrange(5)
    if how == 0 or not place:
        place[f"k{rng.randrange(30)}"] = thing(rng)
    elif how == 1 and key not in ("role", "type", "name", "id", "args"):
        del place[key]
    elif how == 2:
        items = [*place.items()]
        rng.shuffle(items)
        place.clear()
        place.update(items)
    elif how == 3 and key not in ("type", "name", "id", "args", "text"):
        place[key] = _varied(rng, place[key])
    else:
        place["new" if rng.random() < 0.5 else "é"] = rng.choice((atom, odd))(rng)


def _reclassed(rng: Random, found: Any) -> Any:
    """Return a message of another class with the same attributes."""
    if not isinstance(found, BaseMessage):
        return _varied(rng, found)
    cls = rng.choice(_CLASSES)
    if rng.random() < 0.5:
        return cls(found.content, id=found.id)
    return cls.model_construct(**found.__dict__)


def _change_message(rng: Random, found: BaseMessage) -> None:
    how = rng.randrange(8)
    if how == 0:
        found.content = text(rng)
    elif how == 1:
        found.content = [{"type": "text", "text": text(rng)}, text(rng, 3)]
    elif how == 2:
        old = found.additional_kwargs.get("changed")
        new = rng.choice((atom, odd, thing))(rng)
        found.additional_kwargs["changed"] = new if old is None else _varied(rng, old)
    elif how == 3:
        found.id = rng.choice((None, f"m{rng.randrange(20)}"))
    elif how == 4:
        found.response_metadata[f"r{rng.randrange(3)}"] = rng.choice((1, True, 1.0))
    elif how == 5:
        found.extra_field = atom(rng)  # type: ignore[attr-defined]
    elif how == 6 and isinstance(found, AIMessage):
        call = {"name": "tool", "args": {"q": thing(rng)}, "id": "c", "type": "tool_call"}
        found.tool_calls = [*found.tool_calls[:2], call]
    elif how == 6 and isinstance(found, ToolMessage):
        found.artifact = rng.choice((atom, odd))(rng)
    else:
        found.name = rng.choice((None, "someone"))
