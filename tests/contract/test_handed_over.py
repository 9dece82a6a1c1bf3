"""Contract of `put` and `get_tuple`: a checkpoint has the values that were passed with it."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.engine import checkpoints
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.contract.driver import SaverDriver, checkpoint, config, identical, put, values
from tests.engine import reachability
from tests.saver.values import words

TEXT = words(1, 2000)
OTHER = words(2, 2000)
SAMPLES: dict[str, Any] = {
    "number": 1,
    "None": None,
    "in the record": "some text of the length that stands in a record, but in no later one " * 2,
    "in one chunk": words(3, 90),
    "in chunks": TEXT,
    "map": {f"file {n}": words(n, 30) for n in range(60)},
    "messages": [HumanMessage(words(n, 20), id=str(n)) for n in range(30)],
    "large message": [HumanMessage(words(4, 5000), id="1")],
    "one message": HumanMessage(words(5, 50), id="1"),
}
samples = pytest.mark.parametrize("value", SAMPLES.values(), ids=SAMPLES.keys())


@samples
def test_copy_of_one_branch_differs_from_the_other(driver: SaverDriver, value: Any) -> None:
    """Two branches have equal versions. A copy is put beside them, with empty `new_versions`."""
    put(driver, "root", {"value": "root"}, versions={"value": 1})
    put(driver, "a", {"value": value}, parent="root", versions={"value": 2})
    put(driver, "b", {"value": "of b"}, parent="root", versions={"value": 2})
    put(driver, "copy", {"value": value}, parent="root", versions={"value": 2}, new={})
    assert identical(values(driver, config(id="copy")), {"value": value})
    assert identical(values(driver, config(id="a")), {"value": value})
    assert values(driver, config(id="b")) == {"value": "of b"}


@samples
@pytest.mark.parametrize("parent", ["p", None, "missing"])
def test_value_differs_from_the_parents_at_the_same_version(
    driver: SaverDriver, value: Any, parent: str | None
) -> None:
    """A node may change a value in place, and an import may pass any parent."""
    put(driver, "p", {"value": value}, versions={"value": 1})
    put(driver, "q", {"value": [value, 1]}, parent=parent, versions={"value": 1}, new={})
    put(driver, "r", {"value": value}, parent="q", versions={"value": 1}, new={})
    assert identical(values(driver, config(id="q")), {"value": [value, 1]})
    assert identical(values(driver, config(id="r")), {"value": value})
    assert identical(values(driver, config(id="p")), {"value": value})


def test_equal_values_of_different_types_are_different(driver: SaverDriver) -> None:
    """Serialized values are compared: `1`, `True` and `1.0` differ."""
    parent = None
    for number, value in enumerate([1, True, 1.0, "1", 0, -0.0, 0.0, False, b"1", [1]]):
        put(driver, f"c{number:02}", {"value": value}, parent=parent, versions={"value": 1}, new={})
        parent = f"c{number:02}"
        assert identical(values(driver, config(id=parent)), {"value": value})


def test_message_changed_in_place_is_stored_without_a_new_version(driver: SaverDriver) -> None:
    """The list and the message are the same objects in both puts."""
    message = HumanMessage("said", id="1", additional_kwargs={"deep": [1]})
    state = [HumanMessage("before", id="0"), message]
    put(driver, "c1", {"messages": state}, versions={"messages": 1})
    message.additional_kwargs["deep"].append(2)
    put(driver, "c2", {"messages": state}, parent="c1", versions={"messages": 1}, new={})
    deep = [
        values(driver, config(id=one))["messages"][1].additional_kwargs["deep"]
        for one in ("c1", "c2")
    ]
    assert deep == [[1], [1, 2]]


def test_run_whose_parent_is_pruned_keeps_its_values(driver: SaverDriver) -> None:
    """Two runs start from one checkpoint."""
    put(driver, "1", {"state": "begin", "seen": "begin"}, versions={"state": 1, "seen": 1})
    put(driver, "2", {"state": "slow", "seen": "s"}, parent="1", versions={"state": 2, "seen": 2})
    put(driver, "3", {"state": "fast", "seen": "f"}, parent="1", versions={"state": 2, "seen": 2})
    driver.prune(["t"], strategy="keep_latest")
    given = {"state": "slow", "seen": "new"}
    versions = {"state": 2, "seen": 3}
    put(driver, "4", given, parent="2", versions=versions, new={"seen": 3})
    assert values(driver, config()) == given


def test_checkpoint_does_not_inherit_from_a_sibling(driver: SaverDriver) -> None:
    """A channel without a value remains empty, whatever a sibling has at its version."""
    put(driver, "1", {"branch:to:a": None}, versions={"branch:to:a": 1})
    put(driver, "2", {}, parent="1", versions={"branch:to:a": 2})
    put(driver, "3", {"branch:to:a": None}, parent="1", versions={"branch:to:a": 2})
    put(driver, "copy", {}, parent="1", versions={"branch:to:a": 2}, new={})
    assert values(driver, config(id="copy")) == {}
    assert values(driver, config(id="2")) == {}


def test_version_without_a_value_is_inherited_from_the_nearest_ancestor(
    driver: SaverDriver,
) -> None:
    """An ancestor without a value counts. A sibling does not."""
    put(driver, "1", {"a": "one", "b": "one"}, versions={"a": 1, "b": 1})
    put(driver, "2", {"a": "two"}, parent="1", versions={"a": 2, "b": 2})
    put(driver, "3", {"a": "three", "b": "three"}, parent="2", versions={"a": 3, "b": 3})
    put(driver, "2s", {"a": "sibling", "b": "sibling"}, parent="1", versions={"a": 2, "b": 2})
    put(driver, "9", {"a": "sibling", "b": "sibling"}, parent="2s", versions={"a": 9, "b": 9})
    put(driver, "4", {}, parent="3", versions={"a": 2, "b": 2}, new={})
    assert values(driver, config(id="4")) == {"a": "two"}
    put(driver, "5", {}, parent="3", versions={"a": 1, "b": 1}, new={})
    assert values(driver, config(id="5")) == {"a": "one", "b": "one"}
    put(driver, "6", {}, parent="3", versions={"a": 9, "b": 4}, new={})
    assert values(driver, config(id="6")) == {}
    put(driver, "7", {}, parent="3", versions={"a": 0, "c": 1}, new={})
    assert values(driver, config(id="7")) == {}


def test_version_is_inherited_from_above_ancestors_without_the_channel(
    driver: SaverDriver,
) -> None:
    put(driver, "1", {"a": TEXT}, versions={"a": 1})
    put(driver, "2", {"b": 1}, parent="1", versions={"b": 1})
    put(driver, "3", {"b": 2}, parent="2", versions={"b": 2})
    put(driver, "4", {}, parent="3", versions={"a": 1, "b": 1}, new={})
    put(driver, "5", {}, parent="3", versions={"a": 2, "c": 1}, new={})
    assert values(driver, config(id="4")) == {"a": TEXT, "b": 1}
    assert values(driver, config(id="5")) == {}


@pytest.mark.parametrize("versions", [(1, 2, 3), (1.0, 2.5, 3.0), ("01.5", "02.1", "03.9")])
def test_inheritance_works_with_versions_of_any_type(driver: SaverDriver, versions: Any) -> None:
    first, second, third = versions
    put(driver, "1", {"a": "one"}, versions={"a": first})
    put(driver, "2", {"a": "two"}, parent="1", versions={"a": second})
    put(driver, "3", {}, parent="2", versions={"a": first}, new={})
    put(driver, "4", {}, parent="2", versions={"a": third}, new={})
    put(driver, "5", {}, parent="2", versions={"a": 1 if isinstance(first, str) else "1"}, new={})
    assert [values(driver, config(id=one)) for one in "345"] == [{"a": "one"}, {}, {}]


def test_loop_of_ancestors_ends_the_search_for_a_version(driver: SaverDriver) -> None:
    put(driver, "1", {}, parent="2", versions={"a": 5})
    put(driver, "2", {}, parent="1", versions={"a": 5}, new={"a": 5})
    put(driver, "3", {}, parent="2", versions={"a": 1}, new={})
    assert values(driver, config(id="3")) == {}


def test_replaced_checkpoint_has_the_values_of_the_last_put(driver: SaverDriver) -> None:
    put(driver, "1", {"a": TEXT}, versions={"a": 1})
    put(driver, "2", {"a": TEXT, "b": 1}, parent="1", versions={"a": 1, "b": 1}, new={"b": 1})
    put(driver, "2", {"a": OTHER, "b": 2}, parent="1", versions={"a": 1, "b": 1}, new={})
    assert values(driver, config()) == {"a": OTHER, "b": 2}
    put(driver, "2", {"a": TEXT}, parent="2", versions={"a": 1, "b": 1}, new={})
    assert values(driver, config()) == {"a": TEXT, "b": 2}


def test_thread_is_imported_with_empty_new_versions(driver: SaverDriver) -> None:
    """The order of puts does not matter. A channel without a value remains empty."""
    for thread, order in [("forward", [*range(40)]), ("backward", [*reversed(range(40))])]:
        for n in order:
            content = {"text": TEXT[: n * 50], "step": n, **({"trigger": None} if n % 2 else {})}
            put(
                driver,
                f"{n:03}",
                content,
                thread=thread,
                parent=f"{n - 1:03}" if n else None,
                versions={"text": n, "step": n, "trigger": n, "delta": n // 3},
                new={},
            )
        for n in order:
            found = values(driver, config(thread, id=f"{n:03}"))
            expected = {"text": TEXT[: n * 50], "step": n, **({"trigger": None} if n % 2 else {})}
            assert identical(
                {key: found[key] for key in sorted(found)}, dict(sorted(expected.items()))
            )


@pytest.mark.parametrize("cache_size", [0, 1 << 26])
@pytest.mark.parametrize("parents", [True, False])
def test_reads_per_put_do_not_grow_with_the_thread(
    monkeypatch: pytest.MonkeyPatch, cache_size: int, parents: bool
) -> None:
    """`new_versions` is empty, and some channels have no value."""
    decoded = 0
    decode = checkpoints.decode

    def counting(*args: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return decode(*args)

    monkeypatch.setattr(checkpoints, "decode", counting)
    saver = KvSaver(MemoryStore(), cache_size=cache_size)
    driver = SaverDriver(saver)
    for n in range(300):
        put(
            driver,
            f"{n:03}",
            {"value": f"value {n}"},
            parent=f"{n - 1:03}" if n and parents else None,
            versions={"value": n, "trigger": n, "delta": n // 7},
            new={},
        )
    assert decoded <= 3 * 300
    assert values(driver, config(id="123")) == {"value": "value 123"}


@samples
@pytest.mark.parametrize("how", ["known", "forgotten", "reopened"])
@pytest.mark.parametrize("new", [True, False])
def test_unchanged_values_are_not_stored_again(value: Any, how: str, new: bool) -> None:
    """Only the record is new, whatever the versions and the size of the value are."""
    kv = MemoryStore()
    saver = KvSaver(kv, cache_size=0 if how == "forgotten" else 1 << 26)
    sizes, parent = [], config()
    for n in range(6):
        if how == "reopened":
            saver = KvSaver(kv)
        made = checkpoint(f"{n}", {"value": value}, {"value": n if new else 1})
        parent = saver.put(parent, made, {}, {"value": n} if new or not n else {})
        sizes.append((reachability.chunks(kv), reachability.stored_bytes(kv)))
    chunks = [after[0] - before[0] for before, after in pairwise(sizes)]
    assert chunks[0] <= 1  # a short value becomes a chunk at its second put
    assert chunks[1:] == [0, 0, 0, 0]
    grown = [after[1] - before[1] for before, after in pairwise(sizes)]
    assert max(grown[1:]) < 400
    with kv.read() as reader:
        records = [checkpoints.read(reader, NamespaceRef(1, 0), f"{n}") for n in range(2, 6)]
    assert len({repr(one and one.values) for one in records}) == 1
    reachability.check(kv)


@samples
def test_value_is_compared_with_the_parent_and_not_with_another_branch(value: Any) -> None:
    """The cache may hold the value of another branch."""
    kv = MemoryStore()
    saver = KvSaver(kv)
    driver = SaverDriver(saver)
    put(driver, "1", {"value": value}, versions={"value": 1})
    put(driver, "2", {"value": value}, parent="1", versions={"value": 1}, new={})
    before = reachability.chunks(kv)
    for n in range(3, 8):
        put(driver, f"{n}", {"value": n}, parent="2", versions={"value": n})
        put(driver, f"{n}a", {"value": value}, parent="2", versions={"value": 1}, new={})
        values(driver, config(id=f"{n}"))
        put(driver, f"{n}b", {"value": value}, parent="2", versions={"value": 1}, new={})
        assert identical(values(driver, config(id=f"{n}a")), {"value": value})
    assert reachability.chunks(kv) == before


class Xor:
    """A cipher that encrypts equal content to different bytes, as real ciphers do."""

    def __init__(self, key: int) -> None:
        self.key = key

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        salt = os.urandom(16)
        return "xor", salt + self._apply(salt, bytes([self.key]) + plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        found = self._apply(ciphertext[:16], ciphertext[16:])
        if ciphername != "xor" or found[0] != self.key:
            raise ValueError("another key")
        return found[1:]

    def _apply(self, salt: bytes, data: bytes) -> bytes:
        stream = random.Random(salt).randbytes(len(data))
        return bytes(one ^ other for one, other in zip(data, stream, strict=True))


@pytest.mark.parametrize("how", ["known", "forgotten", "reopened"])
@samples
def test_unchanged_values_are_not_encrypted_again(value: Any, how: str) -> None:
    """Encrypted bytes always differ, so the saver compares the content."""
    kv = MemoryStore()
    serde = EncryptedSerializer(Xor(1))
    saver = KvSaver(kv, serde=serde, cache_size=0 if how == "forgotten" else 1 << 26)
    parent = config()
    chunks = []
    for n in range(5):
        if how == "reopened":
            saver = KvSaver(kv, serde=serde)
        made = checkpoint(f"{n}", {"value": value, "number": n}, {"value": 1, "number": n})
        parent = saver.put(parent, made, {}, {"value": n, "number": n})
        chunks.append(reachability.chunks(kv))
        found = saver.get(parent)
        assert found is not None
        assert identical(found["channel_values"], {"value": value, "number": n})
    assert chunks[1:] == [chunks[1]] * 4
    put(SaverDriver(saver), "9", {"value": [value]}, parent="4", versions={"value": 1}, new={})
    assert identical(values(SaverDriver(saver), config()), {"value": [value]})
    reachability.check(kv)


@samples
def test_values_are_stored_again_under_a_new_key(value: Any) -> None:
    """Plain values and values under another key are not inherited."""
    kv = MemoryStore()
    plain = KvSaver(kv)
    put(SaverDriver(plain), "1", {"value": value}, versions={"value": 1})
    for n, serde in enumerate([EncryptedSerializer(Xor(1)), EncryptedSerializer(Xor(2))], 2):
        driver = SaverDriver(KvSaver(kv, serde=serde))
        put(driver, f"{n}", {"value": value}, parent=f"{n - 1}", versions={"value": 1}, new={})
        assert identical(values(driver, config()), {"value": value})
    with kv.read() as reader:
        records = [checkpoints.read(reader, NamespaceRef(1, 0), one) for one in "123"]
    tags = [record.values["value"].tag for record in records if record]
    assert [tag.endswith("+xor") for tag in tags] == [False, True, True]
