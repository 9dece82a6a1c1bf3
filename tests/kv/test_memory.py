"""The store in memory: copies that writes make, and interrupted commits."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.kv.memory import MemoryStore

KEYS = [b"a", b"b", b"b\x00", b"c", b"d" * 300]
ALL = (b"", b"\xff" * 512)


def put(kv: MemoryStore, key: bytes, value: bytes) -> None:
    kv.write(lambda writer: writer.put(key, value))


def content(kv: MemoryStore) -> dict[bytes, bytes]:
    with kv.read() as reader:
        return dict(reader.range(*ALL))


def test_write_copies_the_store_only_for_open_readers() -> None:
    kv = MemoryStore()
    put(kv, b"a", b"1")
    keys, values = kv._state
    put(kv, b"b", b"2")
    assert kv._state[0] is keys
    assert kv._state[1] is values
    with kv.read() as reader:
        _in_thread(lambda: put(kv, b"a", b"3"))
        _in_thread(lambda: put(kv, b"c", b"4"))
        after = kv._state[0]
        assert dict(reader.range(*ALL)) == {b"a": b"1", b"b": b"2"}
    assert content(kv) == {b"a": b"3", b"b": b"2", b"c": b"4"}
    put(kv, b"d", b"5")
    assert kv._state[0] is after


def _in_thread(call: Any) -> None:

    thread = Thread(target=call)
    thread.start()
    thread.join()


class Interrupting(dict[bytes, bytes]):
    """Values whose change is interrupted at one step."""

    def __init__(self, values: dict[bytes, bytes], steps: int) -> None:
        super().__init__(values)
        self.steps = steps

    def step(self) -> None:
        self.steps -= 1
        if not self.steps:
            raise KeyboardInterrupt

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.step()
        super().__setitem__(key, value)
        self.step()

    def pop(self, *key: Any) -> Any:
        self.step()
        found = super().pop(*key)
        self.step()
        return found


@pytest.mark.parametrize("steps", range(1, 9))
def test_interrupted_commit_is_complete_or_absent(steps: int) -> None:
    kv = MemoryStore()
    for key in KEYS[:3]:
        put(kv, key, b"old")
    before = content(kv)
    kv._state = (kv._state[0], Interrupting(kv._state[1], steps))

    def change(writer: Any) -> None:
        writer.put(KEYS[0], b"new")
        writer.put(KEYS[3], b"new")
        writer.delete(KEYS[1])
        writer.put(KEYS[4], b"new")

    with pytest.raises(KeyboardInterrupt):
        kv.write(change)
    after = content(kv)
    whole = {KEYS[0]: b"new", KEYS[2]: b"old", KEYS[3]: b"new", KEYS[4]: b"new"}
    assert after in (before, whole)
    put(kv, b"z", b"later")
    assert content(kv) == {**after, b"z": b"later"}
    assert kv._state[0] == sorted(kv._state[1])


steps = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "range"]), st.sampled_from(KEYS), st.booleans()),
    max_size=12,
)


@given(stored=st.sets(st.sampled_from(KEYS)), steps=steps)
def test_writer_sees_its_own_changes(stored: set[bytes], steps: list[Any]) -> None:
    kv = MemoryStore()
    for key in stored:
        put(kv, key, b"old")
    model = dict.fromkeys(stored, b"old")

    def change(writer: Any) -> None:
        for number, (step, key, reverse) in enumerate(steps):
            if step == "put":
                writer.put(key, b"%d" % number)
                model[key] = b"%d" % number
            elif step == "delete":
                assert writer.delete(key) == (model.pop(key, None) is not None)
            else:
                deleted = [one for one in model if key <= one < b"c"]
                assert writer.delete_range(key, b"c") == len(deleted)
                for one in deleted:
                    del model[one]
            expected = sorted(model.items(), reverse=reverse)
            assert [*writer.range(*ALL, reverse=reverse)] == expected
            assert writer.get(key) == model.get(key)

    kv.write(change)
    assert content(kv) == model
