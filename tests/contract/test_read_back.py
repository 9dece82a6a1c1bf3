"""Every read returns the value that the serializer reads back, also if the value is None."""

from __future__ import annotations

import pickle
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot as Snapshot
from langgraph.types import Send
from pydantic import BaseModel, RootModel

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import DeserializationError, SerializationError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.contract.driver import SaverDriver, config, put, values, writes
from tests.saver.same import same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Nothing(RootModel[str | None]):
    """A class whose instances are serialized to None, which no call rebuilds."""


Long: Any = type("Long" * 300, (Nothing,), {"__module__": __name__})
"""A class like Nothing, with an encoding that is split into chunks."""


class Level(Enum):
    """An enumeration with a member of the value None."""

    UNSET = None
    LOW = "low"


class Point(BaseModel):
    """An ordinary model."""

    x: int


class Ghost:
    """A class whose constructor returns None."""

    def __new__(cls, pad: str = "", full: str = "") -> Any:
        return None if full else super().__new__(cls)

    def __init__(self, pad: str = "", full: str = "") -> None:
        self.pad = pad

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ghost) and self.pad == other.pad

    __hash__ = None  # type: ignore[assignment]

    def _asdict(self) -> dict[str, Any]:
        return {"full": "yes", "pad": self.pad}


def nothing(*_: Any) -> None:
    """Return None."""


class Unpickled:
    """A class whose instances are None after pickling."""

    def __init__(self, pad: str = "") -> None:
        self.pad = pad

    def __reduce__(self) -> Any:
        return nothing, (self.pad,)


class Reversing:
    """A cipher."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "rev", bytes(plaintext[::-1])

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "rev"
        return ciphertext[::-1]


class Odd:
    """A serializer with its own tags, which reads back secrets as None."""

    TAGS = ("", "msgpack", "null", "pickle", "\U0001f952" * 90)

    def __init__(self, tag: int) -> None:
        self.tag = self.TAGS[tag % len(self.TAGS)]

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return self.tag, pickle.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        assert data[0] == self.tag
        value = pickle.loads(data[1])
        secret = value.get("secret") if isinstance(value, dict) else value
        return None if secret == "secret" or isinstance(secret, float) else value


class Candid(Odd):
    """A serializer with its own tags, which reads back everything."""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return pickle.loads(data[1])


class Untyped:
    """A serializer without types."""

    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


class WriteOnly(JsonPlusSerializer):
    """A serializer without the key to read what it writes."""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        raise KeyError("no key")


SERIALIZERS: dict[str, Callable[[], Any]] = {
    "default": JsonPlusSerializer,
    "strict": lambda: JsonPlusSerializer(allowed_msgpack_modules=None),
    "pickle": lambda: JsonPlusSerializer(pickle_fallback=True),
    "hook": lambda: JsonPlusSerializer(__unpack_ext_hook__=nothing),
    "encrypted": lambda: EncryptedSerializer(Reversing(), JsonPlusSerializer()),
    "encrypted, strict": lambda: EncryptedSerializer(
        Reversing(), JsonPlusSerializer(allowed_msgpack_modules=None)
    ),
    "encrypted, odd": lambda: EncryptedSerializer(Reversing(), Odd(1)),
    "untyped": Untyped,
    **{f"odd {n}": lambda n=n: Odd(n) for n in range(len(Odd.TAGS))},
}

tricky = st.sampled_from(
    [
        *(None, Nothing(None), Nothing("x"), Long(None), Long("x" * 2000), Level.UNSET, Level.LOW),
        *(Point(x=1), Ghost(), Ghost("x" * 600), Ghost("x" * 9000)),
        *(Unpickled(), Unpickled("x" * 600), Unpickled("x" * 9000)),
        *("", "secret", "text", "x" * 600, "x" * 9000, 0, 1.5, b"", b"\xc0", bytearray(b"x"), True),
        *([], {}, (), [None], {"a": None}, {"secret": "secret", "pad": "x" * 9000}, {1, 2}),
        *(Send("node", None), Send("node", Nothing(None)), Send("node", {"x": ["y" * 3000]})),
        *(HumanMessage("hi"), [HumanMessage("hi"), AIMessage("x" * 9000)], HumanMessage("x" * 999)),
        *(Snapshot([HumanMessage("hi")]), Snapshot(None), Snapshot(Nothing(None))),
    ]
)
held = st.one_of(
    tricky, st.lists(tricky, max_size=3), st.dictionaries(st.text(max_size=3), tricky, max_size=3)
)


class Reads:
    """A store that has values in every place."""

    def __init__(self, serde: Any) -> None:
        self.kv = MemoryStore()
        self.serde = serde
        self.saver = self.open()
        self.reader = self.saver.serde
        self.put(config(), "1", {})
        self.count = 1

    def open(self) -> LmdbSaver:
        return KvSaver(self.kv, serde=self.serde)

    def put(self, at: Any, name: str, given: dict[str, Any]) -> Any:
        return put(
            SaverDriver(self.saver), name, given, parent=at["configurable"].get("checkpoint_id")
        )

    def holds(self, value: Any) -> None:
        """Put a value in every place, and compare all reads with the serializer."""
        try:
            expected = self.reader.loads_typed(self.reader.dumps_typed(value))
        except Exception:  # noqa: BLE001 - what the serializer cannot do is tested elsewhere
            return
        name = f"{self.count + 1}"
        at = self.put(config(id=f"{self.count}"), name, {"x": value})
        self.count += 1
        self.saver.put_writes(at, [("x", value), (f"delta of {name}", value)], "task")
        self.put(at, f"{name}-1", {"x": value})
        for saver in (self.saver, self.saver, self.open()):
            found = [*self.found(saver, name)]
            assert len(found) == 8
            assert all(same(one, expected) for one in found), (expected, found)
        assert self.saver.verify().ok

    def found(self, saver: LmdbSaver, name: str) -> Iterator[Any]:
        driver = SaverDriver(saver)
        for one in (name, f"{name}-1"):
            yield values(driver, config(id=one))["x"]
        yield from (value for _, _, value in writes(driver, config(id=name)))
        (listed,) = (one for one in saver.list(config()) if one.checkpoint["id"] == f"{name}-1")
        yield listed.checkpoint["channel_values"]["x"]
        at = config(id=f"{name}-1")
        history = saver.get_delta_channel_history(config=at, channels=["x", f"delta of {name}"])
        yield history["x"]["seed"]
        yield from (write[2] for channel in history.values() for write in channel["writes"])


@pytest.mark.parametrize("serde", [*SERIALIZERS])
@given(given=st.lists(held, max_size=4))
def test_reads_equal_the_result_of_the_serializer(serde: str, given: list[Any]) -> None:
    """Read values, writes, seeds and histories: fresh, cached, inherited, and after reopening."""
    reads = Reads(SERIALIZERS[serde]())
    for value in given:
        reads.holds(value)


@pytest.mark.parametrize(
    ("serde", "value"),
    [
        (JsonPlusSerializer(), Nothing(None)),
        (JsonPlusSerializer(), Long(None)),
        (JsonPlusSerializer(), Ghost("x" * 9000)),
        (JsonPlusSerializer(allowed_msgpack_modules=None), Level.UNSET),
        (JsonPlusSerializer(pickle_fallback=True), Unpickled()),
        (EncryptedSerializer(Reversing(), JsonPlusSerializer()), Nothing(None)),
        (Odd(1), "secret"),
    ],
    ids=lambda given: type(given).__name__[:12],
)
def test_value_that_is_serialized_to_none_is_accepted(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver, serde: Any, value: Any
) -> None:
    """Every read returns None."""
    driver = driver.on(open_saver(serde=serde))
    put(driver, "c1", {"x": value, "list": [value]})
    driver.put_writes(config(id="c1"), [("x", value)], "task")
    put(driver, "c2", {"x": value}, parent="c1")
    driver.copy_thread("t", "copy")
    for thread in ("t", "copy"):
        assert values(driver, config(thread, id="c1"))["x"] is None
        assert values(driver, config(thread))["x"] is None
        assert writes(driver, config(thread, id="c1")) == [("task", "x", None)]
        assert len(driver.list(config(thread))) == 2
        history = driver.delta_history(config(thread, id="c2"), ["x"])["x"]
        assert history == {"writes": [("task", "x", None)], "seed": None}


@pytest.mark.parametrize("pad", ["", "x" * 600, "x" * 9000])
@pytest.mark.parametrize("tag", range(len(Odd.TAGS)))
def test_value_that_the_serializer_loses_is_named(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver, tag: int, pad: str
) -> None:
    """The tag and the place of the value do not matter."""

    value = {"secret": "secret", "pad": pad}
    put(driver.on(open_saver(serde=Candid(tag))), "c1", {"plain": 1, "lost": value})
    put(driver.on(open_saver(serde=Candid(tag))), "c2", {"plain": 1}, parent="c1")
    driver.on(open_saver(serde=Candid(tag))).put_writes(config(id="c2"), [("lost", value)], "task")
    reader = driver.on(open_saver(serde=Odd(tag)))
    for read in (
        lambda: reader.get_tuple(config(id="c1")),
        lambda: reader.get_tuple(config(id="c2")),
        lambda: reader.list(config()),
        lambda: reader.delta_history(config(id="c2"), ["lost"]),
    ):
        with pytest.raises(DeserializationError, match="None") as caught:
            read()
        assert caught.value.channel == "lost"
        assert caught.value.thread_id == "t"


def test_metadata_that_the_serializer_loses_is_refused(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver
) -> None:
    """No read could return the metadata. The thread is unchanged."""
    driver = driver.on(open_saver(serde=Odd(0)))
    put(driver, "c1", {"x": 1})
    with pytest.raises(SerializationError, match="metadata") as caught:
        put(driver, "c2", {"x": 2}, parent="c1", secret="secret")
    assert caught.value.channel == "metadata"
    assert values(driver, config()) == {"x": 1}


def test_metadata_that_another_serializer_reads_as_none_is_named(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver
) -> None:
    put(driver.on(open_saver(serde=Candid(0))), "c1", {"x": 1}, secret="secret")
    with pytest.raises(DeserializationError, match="None") as caught:
        driver.on(open_saver(serde=Odd(0))).get_tuple(config())
    assert caught.value.channel == "metadata"


def test_saver_without_the_key_to_read_can_write(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver
) -> None:
    """The written values may contain None."""
    put(driver.on(open_saver(serde=WriteOnly())), "c1", {"x": 1, "none": None, "odd": {1, 2}})
    assert values(driver.on(open_saver()), config()) == {"x": 1, "none": None, "odd": {1, 2}}


def test_put_does_not_decode_values_that_cannot_be_none(
    monkeypatch: pytest.MonkeyPatch, open_saver: Callable[..., LmdbSaver]
) -> None:
    """Values of msgpack, messages and the arguments of `Send` cannot be None."""
    decoded: list[Any] = []
    loads = JsonPlusSerializer.loads_typed

    def counted(self: JsonPlusSerializer, data: tuple[str, bytes]) -> Any:
        decoded.append(data)
        return loads(self, data)

    monkeypatch.setattr(JsonPlusSerializer, "loads_typed", counted)
    plain = [1, "x", b"x", None, [1], {"a": Point(x=1)}, HumanMessage("x"), [HumanMessage("x")]]
    given = {f"c{n}": value for n, value in enumerate([*plain, Send("node", Nothing(None))])}
    for serde in (JsonPlusSerializer(), EncryptedSerializer(Reversing(), JsonPlusSerializer())):
        put(SaverDriver(open_saver(serde=serde)), "c1", given, thread=type(serde).__name__)
        assert decoded == []
