"""Forged stores: the checksums are valid, the payloads are hostile."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import threads
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.values import checkpoint, config, words

if TYPE_CHECKING:
    from collections.abc import Callable

Entries = dict[bytes, bytes]
HOSTILE, VICTIM = "hostile", "victim"
LONG = "3" + "i" * 300  # an id that keys hold truncated
IDS = ("1", "2", LONG)


def on(entries: Entries) -> MemoryStore:
    """Return a store of these entries."""
    store = MemoryStore()
    store._state = (sorted(entries), dict(entries))
    return store


def everything(store: MemoryStore) -> Entries:
    with store.read() as reader:
        return dict(reader.range(b"", b"\xff" * 600))


def _fill(saver: LmdbSaver, thread: str) -> None:
    """Store at least one record of every kind."""
    for namespace in ("", "sub:1"):
        parent = config(thread, namespace)
        for number, checkpoint_id in enumerate(IDS, 1):
            messages = [HumanMessage(words(n, 400), id=f"{n}") for n in range(3 * number)]
            new = checkpoint(checkpoint_id, number, messages)
            new["channel_values"] |= {"text": words(number + len(namespace), 3000), "small": number}
            new["channel_versions"] |= {"text": number, "small": number}
            metadata: Any = {
                "run_id": f"run {number}",
                "step": number,
                "source": "loop",
                "who": "a",
            }
            parent = saver.put(
                parent, new, metadata, {"x": number, "text": number, "small": number}
            )
            saver.put_writes(parent, [("d", number), ("d", words(9, 200))], "task")
    saver.prune([thread], keep_last=2)  # compacts history


def forgeable() -> Entries:
    """Return a store with a thread to forge, a copy of the thread, and an independent thread."""
    saver = KvSaver(MemoryStore(), clock=lambda: 1e9)
    _fill(saver, HOSTILE)
    _fill(saver, VICTIM)
    saver.fork(config(HOSTILE), "copy")  # of a thread with long ids, whose records are copied
    # The replaced checkpoint leaves chunks that only the copy uses.
    saver.put(config(HOSTILE), checkpoint("2", 9, "new"), {"run_id": f"{HOSTILE} 2"}, {"x": 9})
    return everything(saver._kv)  # type: ignore[arg-type]


def with_layers() -> Entries:
    """Return a store with a thread to forge and its copy, which share a layer and have records of
    their own, and the independent thread of `forgeable`."""
    saver = KvSaver(MemoryStore(), clock=lambda: 1e9)
    _fill(saver, HOSTILE)
    _fill(saver, VICTIM)
    saver.copy_thread(HOSTILE, "copy")
    for thread in (HOSTILE, "copy"):
        parent = saver.put(config(thread, "", LONG), checkpoint("5", 5, "new"), {}, {"x": 5})
        saver.put_writes(parent, [("d", 5)], "task")
        saver.put_writes(config(thread, "", LONG), [("x", words(5, 300))], "late")
    return everything(saver._kv)  # type: ignore[arg-type]


ENTRIES = forgeable()
LAYERED = with_layers()


def _number(thread: str, entries: Entries = ENTRIES) -> int:
    with on(entries).read() as reader:
        found = threads.find(reader, thread)
    assert found is not None
    return found.number


NUMBER, COPY_NUMBER = _number(HOSTILE), _number("copy")
LAYERED_NUMBER = _number(HOSTILE, LAYERED)
"""Number of the hostile thread in `LAYERED`. `NUMBER` is its layer there."""


def prefixes(thread: str, number: int) -> dict[str, bytes]:
    """Return the prefix of the keys of each kind of record of a thread."""
    kinds = {kind: keys.of_thread(kind.encode(), number) for kind in "ckwhd"}
    kinds |= {
        "n": keys.namespaces(number),
        "p": keys.shared_refs(number),
        "o": keys.orphaned_chunks(number),
    }
    return kinds | {"T": keys.thread_id(thread), "t": keys.thread_number(number)}


def kind_of(key: bytes, thread: str, number: int) -> str:
    """Return the kind of a record; empty if the record does not belong to the thread."""
    for kind, prefix in prefixes(thread, number).items():
        if key == prefix or (kind not in "Tt" and key.startswith(prefix)):
            return kind
    return ""


TARGETS = {
    key: kind
    for key, record in sorted(ENTRIES.items())
    if record and (kind := kind_of(key, HOSTILE, NUMBER))
}


def forged(changed: dict[bytes, bytes], entries: Entries = ENTRIES) -> Entries:
    """Return a store with these payloads, each with a valid checksum."""
    sealed = {key: envelope.seal(key, envelope.pack(p, None)) for key, p in changed.items()}
    return {**entries, **sealed}


def _put(saver: LmdbSaver) -> None:
    for parent in IDS:
        messages = [HumanMessage("new", id=f"{n}") for n in range(3)]
        new = checkpoint("4", 4, messages)
        saver.put(config(HOSTILE, "", parent), new, {"step": 4}, {"x": 4})
        saver.put_writes(config(HOSTILE, "", parent), [("x", words(1, 300))], "task")


READS: dict[str, Callable[[LmdbSaver], Any]] = {
    "latest": lambda s: s.get_tuple(config(HOSTILE)),
    "first": lambda s: s.get_tuple(config(HOSTILE, "", "2")),
    "long": lambda s: s.get_tuple(config(HOSTILE, "", LONG)),
    "of a subgraph": lambda s: s.get_tuple(config(HOSTILE, "sub:1")),
    "list": lambda s: [*s.list(config(HOSTILE))],
    "list all": lambda s: [*s.list(None)],
    "list a run": lambda s: [*s.list(None, filter={"run_id": f"{HOSTILE} 3"})],
    "list by what all have": lambda s: [*s.list(config(HOSTILE), filter={"who": "a"})],
    "list below": lambda s: [*s.list(config(HOSTILE), before=config(HOSTILE, "", LONG))],
    "delta": lambda s: s.get_delta_channel_history(
        config=config(HOSTILE), channels=["d", "x", "text"]
    ),
    "history": lambda s: [*s.history(config(HOSTILE))],
    "children": lambda s: s.children(config(HOSTILE, "", "2")),
    "branches": lambda s: s.branches(HOSTILE),
    "threads": lambda s: s.threads(),
    "stats": lambda s: s.stats(),
}
WRITES: dict[str, Callable[[LmdbSaver], Any]] = {
    "put": _put,
    "replace": lambda s: s.put(config(HOSTILE, "", "2"), checkpoint(LONG, 7, "x"), {}, {"x": 7}),
    "prune": lambda s: s.prune([HOSTILE]),
    "delete a run": lambda s: s.delete_for_runs([f"{HOSTILE} 3"]),
    "copy": lambda s: s.copy_thread(HOSTILE, "another"),
    "fork": lambda s: s.fork(config(HOSTILE), "another"),
    "live": lambda s: s.set_ttl(HOSTILE, 1),
    "sweep": lambda s: s.sweep(now=2e9),
    "delete the copy": lambda s: s.delete_thread("copy"),
    "delete": lambda s: s.delete_thread(HOSTILE),
}


def _try(call: Callable[[LmdbSaver], Any], saver: LmdbSaver) -> bool:
    """Return True if a call raises an error of the package; raise any other error."""
    try:
        call(saver)
    except LmdbSaverError:
        return True
    return False


VICTIM_NUMBER = _number(VICTIM)


def records_of_victim(entries: Entries) -> Entries:
    """Return all records of the independent thread, but not those by which other threads keep its
    chunks: more of them harm nothing."""
    return {k: r for k, r in entries.items() if kind_of(k, VICTIM, VICTIM_NUMBER) not in ("", "p")}


def victim(entries: Entries) -> list[Any]:
    """Return all that the saver reads of the independent thread."""
    saver = KvSaver(on(entries), clock=lambda: 1e9)
    history = saver.get_delta_channel_history(config=config(VICTIM), channels=["d"])
    found = [
        [one.config, one.checkpoint, one.metadata, one.pending_writes]
        for one in saver.list(config(VICTIM))
    ]
    return [found, history]


UNHARMED = victim(ENTRIES)


def exercise(entries: Entries) -> int:
    """Call all methods on a forged store; return how many calls raised an error of the package.

    Each method that writes gets the forged store. No call may change the independent thread or
    raise another error; neither may deleting the forged thread afterwards.
    """
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = KvSaver(on(entries), clock=lambda: 1e9)
        for call in READS.values():
            refused += _try(call, reader)
        for call in WRITES.values():
            saver = KvSaver(on(entries), clock=lambda: 1e9)
            _try(READS["latest"], saver)
            refused += _try(call, saver)
            refused += _try(READS["latest"], saver)
            refused += _try(WRITES["delete"], saver)
            after = everything(saver._kv)  # type: ignore[arg-type]
            assert records_of_victim(after) == records_of_victim(entries)
        assert victim(after) == UNHARMED
    return refused
