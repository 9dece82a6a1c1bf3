"""The checks of the suite. Each raises AssertionError if a store breaks its rule."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from saver_conformance.kv.spec import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from saver_conformance.kv.spec import KeyValueSpec

_END = b"\xff" * 512
_SHORT = st.lists(st.sampled_from(b"\x00\x01aAb \xff"), max_size=3).map(bytes)
_KEYS = _SHORT.filter(bool)
_VALUES = st.binary(max_size=20) | st.integers(1, 3).map(lambda pages: b"v" * 4096 * pages)
_CHANGES = st.lists(
    st.tuples(st.just("put"), _KEYS, _VALUES)
    | st.tuples(st.just("delete"), _KEYS)
    | st.tuples(st.just("delete_range"), _SHORT, _SHORT),
    max_size=8,
)


class UndoError(Exception):
    """An error that undoes a transaction."""


def model(spec: KeyValueSpec, examples: int) -> None:
    """Check that transactions, committed or undone, act as on a sorted dict."""

    def program(data: st.DataObject) -> None:
        with opened(spec) as (store, folder):
            content: dict[bytes, bytes] = {}
            for _ in range(data.draw(st.integers(1, 4))):
                content = _transact(store, content, data.draw(_CHANGES), data.draw(st.booleans()))
                _expect(store, content, data.draw(_SHORT), data.draw(_SHORT))
            if spec.is_durable:
                store.close()
                again = spec.open(folder)
                _expect(again, content, b"", _END)
                again.close()

    _repeat(program, examples)


def _transact(
    store: Any, content: dict[bytes, bytes], changes: list[tuple[Any, ...]], undo: bool
) -> dict[bytes, bytes]:
    """Make changes in one transaction, and return the content after it."""
    result: dict[bytes, bytes] = {}

    def apply(writer: Any) -> str:
        result.clear()
        result.update(content)
        for name, *arguments in changes:
            if name == "put":
                writer.put(*arguments)
                result[arguments[0]] = arguments[1]
                assert writer.get(arguments[0]) == arguments[1], "a writer reads its own put"
            elif name == "delete":
                had = result.pop(arguments[0], None) is not None
                assert writer.delete(arguments[0]) is had, f"delete({arguments[0]!r})"
            else:
                inside = [key for key in result if arguments[0] <= key < arguments[1]]
                found = writer.delete_range(*arguments)
                assert found == len(inside), f"delete_range{tuple(arguments)}: {found}"
                for key in inside:
                    del result[key]
        assert dict(writer.range(b"", _END)) == result, "a writer reads its own changes"
        if undo:
            raise UndoError
        return "returned"

    try:
        assert store.write(apply) == "returned", "write returns what apply returns"
    except UndoError:
        assert undo
        return content
    return result


def _expect(store: Any, content: dict[bytes, bytes], start: bytes, stop: bytes) -> None:
    with store.read() as reader:
        for first, last in ((start, stop), (b"", _END)):
            wanted = sorted(pair for pair in content.items() if first <= pair[0] < last)
            for reverse in (False, True):
                ordered = wanted[::-1] if reverse else wanted
                pairs = [*reader.range(first, last, reverse=reverse)]
                keys = [*reader.keys(first, last, reverse=reverse)]
                assert pairs == ordered, f"range({first!r}, {last!r}, {reverse}) is {pairs}"
                assert keys == [key for key, _ in ordered], f"keys({first!r}, {last!r}) is {keys}"
        for key in (*content, b"absent"):
            assert reader.get(key) == content.get(key), f"get({key!r})"


def keys(spec: KeyValueSpec, examples: int) -> None:  # noqa: ARG001
    """Check that keys of 1 byte up to the limit are distinct, and that others raise ValueError."""
    longest = spec.longest_key
    stems = [b"k" * longest, b"k" * (longest - 1) + b"l", b"k" * (longest - 1), b"\x00", b"\xff"]
    with opened(spec) as (store, _):
        content = {key: b"%d" % number for number, key in enumerate(stems)}
        _put_all(store, content)
        _expect(store, content, b"", b"l")
        for wrong in (b"", b"k" * 512):
            calls: list[Callable[[Any], object]] = [
                methodcaller("put", wrong, b"v"),
                methodcaller("delete", wrong),
                methodcaller("get", wrong),
            ]
            for call in calls:
                _raises(ValueError, partial(store.write, call), f"a key of {len(wrong)}")
        _expect(store, content, b"", b"l")


def large(spec: KeyValueSpec, examples: int) -> None:  # noqa: ARG001
    """Check that values of any length around a page, and of megabytes, read back unchanged."""
    lengths = [0, 1, *range(2000, 2050, 7), *range(4040, 4100, 5), 65536, 3_000_001]
    with opened(spec) as (store, _):
        content = {b"%07d" % length: bytes(range(251)) * (length // 251 + 1) for length in lengths}
        content = {key: value[: int(key)] for key, value in content.items()}
        _put_all(store, content)
        _expect(store, content, b"0001", b"01")


def many(spec: KeyValueSpec, examples: int) -> None:  # noqa: ARG001
    """Check that thousands of keys are listed, and deleted by range."""
    with opened(spec) as (store, _):
        content = {b"%05d" % number: b"v%d" % number for number in range(3000)}
        _put_all(store, content)
        deleted = store.write(lambda writer: writer.delete_range(b"00500", b"02500"))
        assert deleted == 2000, f"delete_range deleted {deleted} of 2000 keys"
        _expect(store, {k: v for k, v in content.items() if not b"00500" <= k < b"02500"}, b"", b"")


def changing(spec: KeyValueSpec, examples: int) -> None:
    """Check that an iteration in a write transaction follows later changes."""

    def program(data: st.DataObject) -> None:
        reverse = data.draw(st.booleans())
        start = dict.fromkeys(data.draw(st.lists(_KEYS, max_size=8)), b"")
        plan = data.draw(st.lists(st.tuples(st.booleans(), _KEYS), max_size=12))
        with opened(spec) as (store, _):
            _put_all(store, start)
            content: dict[bytes, bytes] = {}

            def apply(writer: Any) -> None:
                content.clear()
                content.update(start)
                changes = iter(plan)
                here: bytes | None = None
                for key, value in writer.range(b"", _END, reverse=reverse):
                    ahead = _ahead(content, here, reverse=reverse)
                    assert ahead, f"the iteration yields {key!r} after the end"
                    assert key == ahead[0], f"{key!r} follows {here!r}, expected {ahead[0]!r}"
                    assert value == content[key], f"the value of {key!r}"
                    here = key
                    is_put, other = next(changes, (False, key))
                    if is_put:
                        writer.put(other, b"new")
                        content[other] = b"new"
                    else:
                        writer.delete(other)
                        content.pop(other, None)
                left = _ahead(content, here, reverse=reverse)
                assert not left, f"the iteration ends before {left}"

            store.write(apply)
            _expect(store, content, b"", _END)

    _repeat(program, examples)


def _ahead(content: dict[bytes, bytes], here: bytes | None, *, reverse: bool) -> list[bytes]:
    left = [k for k in content if here is None or (k < here if reverse else k > here)]
    return sorted(left, reverse=reverse)


def snapshots(spec: KeyValueSpec, examples: int) -> None:  # noqa: ARG001
    """Check that a reader sees one state, also while another thread commits."""
    before = {b"a": b"1", b"b": b"2", b"c": b"3"}

    def change(writer: Any) -> None:
        writer.delete_range(b"b", b"d")
        writer.put(b"a", b"new")
        writer.put(b"aa", b"new")

    with opened(spec) as (store, _), ThreadPoolExecutor(1) as pool:
        _put_all(store, before)
        with store.read() as reader:
            under_way = reader.range(b"", _END)
            first = next(under_way)
            pool.submit(store.write, change).result()
            assert [first, *under_way] == sorted(before.items()), "an iteration has new content"
            assert reader.get(b"a") == b"1", "a reader has new content"
            assert reader.get(b"aa") is None, "a reader has new content"
        _expect(store, {b"a": b"new", b"aa": b"new"}, b"", b"b")


def writers(spec: KeyValueSpec, examples: int) -> None:  # noqa: ARG001
    """Check that the transactions of several threads take turns."""

    def count(writer: Any) -> None:
        writer.put(b"n", b"%d" % (int(writer.get(b"n") or 0) + 1))

    with opened(spec) as (store, _), ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(store.write, count) for _ in range(80)]:
            future.result()
        _expect(store, {b"n": b"80"}, b"", _END)


def misuse(spec: KeyValueSpec, examples: int) -> None:  # noqa: ARG001
    """Check that ended transactions, second transactions and closed stores raise errors."""
    with opened(spec) as (store, _):
        _put_all(store, {b"a": b"1", b"b": b"2"})
        kept: list[Any] = []
        store.write(kept.append)
        with store.read() as reader:
            under_way = reader.range(b"", _END)
            next(under_way)
            _raises(Exception, lambda: store.write(lambda _: None), "a write inside a read")
            _raises(Exception, store.read().__enter__, "a read inside a read")
        _raises(Exception, lambda: reader.get(b"a"), "a reader after its block")
        _raises(Exception, lambda: next(under_way), "an iteration after its block")
        _raises(Exception, lambda: kept[0].put(b"c", b"3"), "a writer after its transaction")
        _expect(store, {b"a": b"1", b"b": b"2"}, b"", _END)
        store.close()
        store.close()
        _raises(Exception, store.read().__enter__, "a read of a closed store")
        _raises(Exception, lambda: store.write(lambda _: None), "a write to a closed store")


def _put_all(store: Any, content: dict[bytes, bytes]) -> None:
    def apply(writer: Any) -> None:
        for key, value in reversed(content.items()):
            writer.put(key, value)

    store.write(apply)


def _raises(kind: type[Exception], call: Callable[[], object], what: str) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{what} raises no {kind.__name__}")


def _repeat(program: Callable[[st.DataObject], None], examples: int) -> None:
    """Run a program on drawn values, and shrink what fails."""
    with_data = given(st.data())(program)
    seeded = seed(0)(with_data)
    settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )(seeded)()


CHECKS: dict[str, Callable[[KeyValueSpec, int], None]] = {
    check.__name__: check
    for check in (model, keys, large, many, changing, snapshots, writers, misuse)
}
"""The checks by name. Each takes a spec and a number of examples."""
