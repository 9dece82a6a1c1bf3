"""Clauses about serializers: the saver uses the given serializer for every value."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import ALL, Part
from saver_conformance.serdes import Fragile, PickleSerde, Point
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint
from saver_conformance.source import Name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DataObject

_REF = Ref("thread", checkpoint_id(0))
_STRICT = "langchain-ai/langgraph#8522, CVE-2026-28277: LANGGRAPH_STRICT_MSGPACK and the allow-list"


def _open_with_pickle(s: Session) -> None:
    s.script.need("saver_conformance.serdes", "PickleSerde")
    s.reopen(serde=Name("PickleSerde()", PickleSerde()))


def _open_strict(s: Session) -> None:
    s.script.need("langgraph.checkpoint.serde.jsonplus", "JsonPlusSerializer")
    text = "JsonPlusSerializer(allowed_msgpack_modules=None)"
    s.reopen(serde=Name(text, JsonPlusSerializer(allowed_msgpack_modules=None)))


@clause(
    "serde.custom",
    source="BaseCheckpointSaver(serde=...): any SerializerProtocol",
    severity=Severity.CRITICAL,
    capability=Capability.SERDE,
)
def custom(s: Session, data: DataObject) -> None:
    """Values and writes use the serializer that was passed to the saver."""
    _open_with_pickle(s)
    value = data.draw(st.sampled_from([3 + 4j, range(3), [2 + 1j]]))
    s.put(_REF, changes={"a": value})
    s.put_writes(_REF, [("a", value)])
    s.expect_tuple(_REF, Part.VALUES, Part.WRITES)
    s.expect_list(at("thread"), Part.VALUES, Part.WRITES)


@clause(
    "serde.load_error",
    source="langchain-ai/langgraph#6970, #9021: a value that failed to deserialize became None",
    severity=Severity.CRITICAL,
    capability=Capability.SERDE,
)
def load_error(s: Session, data: DataObject) -> None:
    """Reading a value that cannot be deserialized raises an error."""
    _open_with_pickle(s)
    in_write = data.draw(st.booleans())
    s.put(_REF, changes={} if in_write else {"a": Fragile()})
    if in_write:
        s.put_writes(_REF, [("a", Fragile())])
    s.script.line("Fragile.whole = False")
    Fragile.whole = False
    try:
        name = s.script.name("got")
        got = s.call("get_tuple", _REF.config, bind=name, expected_errors=(Exception,))
    finally:
        Fragile.whole = True
    if isinstance(got, Exception):
        return
    s.script.line(f"if isinstance({name}, Exception):\n    raise SystemExit  # correct")
    s.match(name, got, s.model.get(_REF.config), Part.VALUES, Part.WRITES)


@clause(
    "allowlist.strict",
    source=_STRICT,
    severity=Severity.CRITICAL,
    capability=Capability.SERDE,
)
def strict(s: Session, data: DataObject) -> None:
    """A strict serializer deserializes no class that is not on the allow-list."""
    _open_strict(s)
    s.put(_REF, changes={"a": Point(data.draw(st.integers(0, 9)))})
    s.put_writes(_REF, [("a", Point(1))])
    _expect_points(s, "saver", s.saver, rebuilt=False)


@clause(
    "allowlist.clone",
    source="BaseCheckpointSaver.with_allowlist: a shallow clone with a derived msgpack allowlist",
    severity=Severity.MAJOR,
    capability=Capability.SERDE,
)
def clone(s: Session, data: DataObject) -> None:
    """Only the clone that with_allowlist returns deserializes the allowed class."""
    _open_strict(s)
    s.put(_REF, changes={"a": Point(data.draw(st.integers(0, 9)))})
    s.put_writes(_REF, [("a", Point(1))])
    if data.draw(st.booleans()):
        _expect_points(s, "saver", s.saver, rebuilt=False)
    copied = _clone(s)
    _expect_points(s, "clone", copied, rebuilt=True)
    _expect_points(s, "saver", s.saver, rebuilt=False)
    s.script.line("del clone")
    del copied
    gc.collect()
    s.put(Ref("thread", checkpoint_id(1)))
    s.expect_list(at("thread"))


@clause(
    "allowlist.clone.shared",
    cases=[(False,), (True,)],
    source="BaseCheckpointSaver.with_allowlist: a shallow clone, which compile makes of the saver",
    severity=Severity.CRITICAL,
    capability=Capability.SERDE,
    presumes=["allowlist.clone"],
)
def shared(s: Session, data: DataObject) -> None:
    """The clone of with_allowlist and the saver see the checkpoints that the other stores."""
    _open_strict(s)
    s.put(_REF, changes={"a": [0]})
    copied = _clone(s)
    later = Ref("thread", checkpoint_id(1))
    checkpoint = make_checkpoint(later.id)
    metadata = {"source": "loop", "step": 1}
    if data.draw(st.booleans()):
        s.put(later)
        _get(s, "clone", copied, later)
    else:
        arguments: tuple[Any, ...] = (at("thread"), checkpoint, metadata, {})
        s.script.line(s.script.call(s.api, "put", arguments, {}).replace("saver.", "clone.", 1))
        with s.guard("put of the clone"):
            s.invoke(s.api, "put", arguments, {}, saver=copied)
        s.model.put(at("thread"), checkpoint, metadata)
    s.expect_list(at("thread"), Part.ID)


def _clone(s: Session) -> Any:
    """Return a clone of the saver that deserializes values of class `Point`."""
    allowed = [("saver_conformance.serdes", "Point")]
    s.script.line(f"clone = saver.with_allowlist({allowed!r})")
    with s.guard("with_allowlist"):
        return s.saver.with_allowlist(allowed)


def _get(s: Session, which: str, saver: Any, ref: Ref) -> tuple[str, Any]:
    """Read a stored checkpoint through the saver or its clone; return the variable, and the
    checkpoint."""
    name = s.script.name("got")
    shown = s.script.call(s.api, "get_tuple", (ref.config,), {}).replace("saver.", f"{which}.", 1)
    s.script.line(f"{name} = {shown}")
    with s.guard(f"get_tuple of the {which}"):
        got = s.invoke(s.api, "get_tuple", (ref.config,), {}, saver=saver)
    if got is None:
        message = f"{name} is None: the {which} does not find the stored checkpoint"
        s.fail_assertion(f"{name} is not None", message)
    return name, got


def _expect_points(s: Session, which: str, saver: Any, *, rebuilt: bool) -> None:
    """Check that a saver does or does not deserialize values of class `Point`."""
    s.script.need("saver_conformance.serdes", "Point")
    name, got = _get(s, which, saver, _REF)
    value = got.checkpoint["channel_values"].get("a")
    expression = f'isinstance({name}.checkpoint["channel_values"].get("a"), Point)'
    s.expect(expression, isinstance(value, Point), rebuilt)
    written = [w[2] for w in got.pending_writes or ()]
    expression = f"[isinstance(w[2], Point) for w in {name}.pending_writes]"
    s.expect(expression, [isinstance(w, Point) for w in written], [rebuilt])


@clause(
    "put.unserializable",
    source="langchain-ai/langgraph#8606, #3441: a value that cannot be serialized",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def unserializable(s: Session, data: DataObject) -> None:
    """A value that cannot be serialized makes put raise, and nothing is stored."""
    s.put(_REF, changes={"channel": [0]})
    _put_unserializable(s, data, _REF)
    s.expect_tuple(at("thread"), Part.ID, Part.VALUES)


@clause(
    "put.unserializable.metadata",
    source="langchain-ai/langgraph#8606; InMemorySaver, SqliteSaver and PostgresSaver raise",
    severity=Severity.MAJOR,
    capability=Capability.PUT,
    presumes=["put.unserializable"],
)
def unserializable_metadata(s: Session, data: DataObject) -> None:
    """Metadata that cannot be serialized makes put raise, and nothing is stored."""
    s.put(_REF, changes={"channel": [0]})
    [version] = s.versions(1, _REF)
    s.script.line("import threading")
    shown, made = _unserializable(data)
    checkpoint = make_checkpoint(checkpoint_id(1), {"channel": [1]}, {"channel": version.value})
    text = f'checkpoint({checkpoint_id(1)!r}, {{"channel": [1]}}, {{"channel": {version.text}}})'
    metadata = Name(
        f'{{"source": "loop", "culprit": {shown}}}', {"source": "loop", "culprit": made}
    )
    arguments = (_REF.config, Name(text, checkpoint), metadata, {"channel": version})
    error = s.call("put", *arguments, bind="answer", share=True, expected_errors=(Exception,))
    if not isinstance(error, Exception):
        message = "put accepted metadata that cannot be serialized, a threading.Lock"
        s.fail_assertion("isinstance(answer, Exception)", message)
    s.expect_tuple(at("thread"), *ALL)
    s.expect_list(at("thread"), Part.VALUES)


@clause(
    "put.unserializable.named",
    source="langchain-ai/langgraph#8606: the base class does not specify the error message",
    severity=Severity.MINOR,
    capability=Capability.PUT,
    unspecified=True,
)
def unserializable_named(s: Session, data: DataObject) -> None:
    """The error names the channel whose value cannot be serialized."""
    error = _put_unserializable(s, data)
    if "culprit" not in str(error):
        s.fail_assertion(
            '"culprit" in str(answer)', f"the error does not name the channel: {error}"
        )


@clause(
    "put.unserializable.path",
    source="langchain-ai/langgraph#8606: the base class does not specify the error message",
    severity=Severity.MINOR,
    capability=Capability.PUT,
    unspecified=True,
    presumes=["put.unserializable.named"],
)
def unserializable_path(s: Session, data: DataObject) -> None:
    """The error names the key under which the value that cannot be serialized is."""
    error = _put_unserializable(s, data, kinds=("deep",))
    if "inner_key" not in str(error):
        s.fail_assertion('"inner_key" in str(answer)', f"the error does not name the key: {error}")


def _put_unserializable(
    s: Session,
    data: DataObject,
    after: Ref | None = None,
    kinds: Sequence[str] = ("lock", "deep"),
) -> BaseException:
    [version] = s.versions(1, after)
    shown, made = _unserializable(data, kinds)
    s.script.line("import threading")
    versions = {"channel": version.value, "culprit": version.value}
    checkpoint = make_checkpoint(checkpoint_id(1), {"channel": [1], "culprit": made}, versions)
    text = (
        f'checkpoint({checkpoint_id(1)!r}, {{"channel": [1], "culprit": {shown}}}, '
        f'{{"channel": {version.text}, "culprit": {version.text}}})'
    )
    new = {"channel": version, "culprit": version}
    metadata = {"source": "loop", "step": 1}
    arguments = (at("thread"), Name(text, checkpoint), metadata, new)
    error = s.call("put", *arguments, bind="answer", share=True, expected_errors=(Exception,))
    if not isinstance(error, Exception):
        message = "put accepted a value that cannot be serialized, a threading.Lock"
        s.fail_assertion("isinstance(answer, Exception)", message)
    return error


def _unserializable(data: DataObject, kinds: Sequence[str] = ("lock", "deep")) -> tuple[str, Any]:
    """Return the program text of a value that no serializer accepts, and the value."""
    lock = "threading.Lock()"
    values = {
        "lock": (f"[{lock}]", [_lock()]),
        "deep": (f'{{"inner_key": [{lock}]}}', {"inner_key": [_lock()]}),
    }
    return values[data.draw(st.sampled_from(kinds))]


def _lock() -> Any:
    return threading.Lock()
