"""An oracle: random calls of a saver, and the expected content of the store in plain dicts.

The oracle uses no code of the package. A worker draws its calls from a seed and from the state
after the calls before, so another process can draw the same calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.messages import HumanMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph.checkpoint.lmdb import LmdbSaver

Key = tuple[str, str, str]
"""Thread, namespace and id of a checkpoint."""


class Stored(NamedTuple):
    """A checkpoint as a saver returns it."""

    parent: str | None
    versions: dict[str, int]
    values: dict[str, Any]
    metadata: dict[str, Any]
    writes: tuple[tuple[str, str, Any], ...]
    """Task, channel and value, in the order in which they apply."""
    expires: bool
    """True if the thread has a TTL."""


State = dict[Key, Stored]
Effect = Callable[[State], State]


@dataclass(frozen=True)
class Operation:
    """A call of a saver.

    Attributes:
        kind: Name of the call in `KINDS`.
        call: Function that makes the call.
        effects: Changes of the state. A store applies each change completely or not at all.
    """

    kind: str
    call: Callable[[LmdbSaver], object]
    effects: tuple[Effect, ...]

    def after(self, state: State) -> State:
        """Return the state after the call."""
        for effect in self.effects:
            state = effect(state)
        return state

    def partial_states(self, state: State) -> Iterator[State]:
        """Yield each state after an interrupted call, from no change to all changes."""
        for count in range(len(self.effects) + 1):
            for part in combinations(self.effects, count):
                yield Operation(self.kind, self.call, part).after(state)


class Worker:
    """A generator of random calls on its own threads.

    Attributes:
        name: Prefix of the worker's thread ids.
        kinds: Kinds of calls to draw from.
        state: Expected content of the worker's threads.
    """

    MAX_THREADS = 4
    MAX_CHECKPOINTS = 24

    def __init__(self, name: str, kinds: Iterable[str] | None = None) -> None:
        self.name = name
        self.kinds = [*KINDS] if kinds is None else [*kinds]
        self.state: State = {}
        self.random = Random(0)
        self._turn = 0
        self._number = 0

    def begin(self, seed: str, turn: int) -> None:
        """Start a turn. Its calls depend only on the seed, the turn and the state."""
        self.random = Random(f"{seed}/{self.name}/{turn}")
        self._turn, self._number = turn, 0

    def serial(self) -> int:
        """Return a number that grows with every call of every turn."""
        return self._turn * 100_000 + self._number

    def threads(self) -> list[str]:
        """Return the ids of the worker's threads."""
        return sorted({thread for thread, _, _ in self.state})

    def new_thread(self) -> str:
        """Return a new thread id."""
        return f"{self.name}-{self.serial()}"

    def next(self, kind: str | None = None) -> Operation:
        """Return the next call, of the given kind or a random one."""
        while True:
            self._number += 1
            drawn = kind or self._draw()
            operation = KINDS[drawn][1](self)
            if operation is not None:
                return operation

    def _draw(self) -> str:
        if len(self.state) > self.MAX_CHECKPOINTS:
            return self.random.choice(["delete_thread", "prune", "delete_for_runs"])
        return self.random.choices(self.kinds, [KINDS[kind][0] for kind in self.kinds])[0]


def _config(key: Key | tuple[str, str, str | None]) -> Any:
    thread, namespace, checkpoint = key
    values = {"thread_id": thread, "checkpoint_ns": namespace}
    return {
        "configurable": values if checkpoint is None else {**values, "checkpoint_id": checkpoint}
    }


def _put(worker: Worker) -> Operation:
    random, threads = worker.random, worker.threads()
    if len(threads) < worker.MAX_THREADS and random.random() < 0.3:
        threads.append(worker.new_thread())
    thread = random.choice(threads or [worker.new_thread()])
    namespace = random.choice(["", "", "", "sub"])
    ids = sorted(key[2] for key in worker.state if key[:2] == (thread, namespace))
    parent = None if not ids else random.choice(ids) if random.random() < 0.2 else max(ids)
    return _store("put", worker, (thread, namespace, f"{worker.serial():012}"), parent, ())


def _replace(worker: Worker) -> Operation | None:
    if not worker.state:
        return None
    key = worker.random.choice(sorted(worker.state))
    return _store("replace", worker, key, worker.state[key].parent, worker.state[key].writes)


def _store(
    kind: str,
    worker: Worker,
    key: Key,
    parent: str | None,
    writes: tuple[tuple[str, str, Any], ...],
) -> Operation:
    random, serial = worker.random, worker.serial()
    base = worker.state.get((*key[:2], parent)) if parent is not None else None
    values = dict(base.values) if base else {}
    versions = dict(base.versions) if base else {}
    changed = random.sample([*_CHANNELS], random.randint(1, len(_CHANNELS)))
    for channel in changed:
        values[channel] = _CHANNELS[channel](random, serial, values.get(channel))
        versions[channel] = serial
    metadata = {
        "source": "loop",
        "step": serial,
        "parents": {},
        "run_id": f"{key[0]}/run-{random.randrange(3)}",
    }
    expires = any(one.expires for other, one in worker.state.items() if other[0] == key[0])
    new = Stored(parent, versions, values, metadata, writes, expires)
    checkpoint = {
        "v": 4,
        "id": key[2],
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {},
        "updated_channels": None,
    }
    config, new_versions = _config((*key[:2], parent)), dict.fromkeys(changed, serial)

    def call(saver: LmdbSaver) -> object:
        copy: Any = dict(checkpoint, channel_values=dict(values), channel_versions=dict(versions))
        metadata_copy: Any = dict(metadata)
        return saver.put(config, copy, metadata_copy, dict(new_versions))

    return Operation(kind, call, (lambda state: {**state, key: new},))


def _messages(random: Random, serial: int, old: Any) -> Any:
    text = " ".join(random.choices(_WORDS, k=random.choice([3, 30, 300])))
    return [*(old or [])[-20:], HumanMessage(text, id=f"m{serial}")]


def _lines(random: Random, serial: int, old: Any) -> Any:
    lines = list(old or [])[-200:]
    if lines and random.random() < 0.5:
        lines[random.randrange(len(lines))] = f"line {serial} " * 3
    return [*lines, *(f"line {serial}.{n} {random.random()}" for n in range(random.randrange(20)))]


def _blob(random: Random, serial: int, old: Any) -> Any:
    return random.randbytes(random.choice([0, 100, 3000, 3000, 20_000]))


def _count(random: Random, serial: int, old: Any) -> Any:
    return serial


_WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
_CHANNELS: dict[str, Callable[[Random, int, Any], Any]] = {
    "messages": _messages,
    "lines": _lines,
    "blob": _blob,
    "count": _count,
}


def _put_writes(worker: Worker) -> Operation | None:
    if not worker.state:
        return None
    random, serial = worker.random, worker.serial()
    key = max(worker.state) if random.random() < 0.7 else random.choice(sorted(worker.state))
    task = f"task-{serial:012}"
    rows = [
        (f"channel-{n}", _blob(random, serial, None) if n else _messages(random, serial, None))
        for n in range(random.randint(1, 12))
    ]

    def effect(state: State) -> State:
        old = state[key]
        writes = (*old.writes, *((task, channel, value) for channel, value in rows))
        in_order = sorted(
            writes, key=lambda row: row[0]
        )  # a stable sort keeps the order within a task
        return {**state, key: old._replace(writes=tuple(in_order))}

    return Operation(
        "put_writes", lambda saver: saver.put_writes(_config(key), rows, task), (effect,)
    )


def _delete_thread(worker: Worker) -> Operation | None:
    if not worker.state:
        return None
    thread = worker.random.choice(worker.threads())
    return Operation(
        "delete_thread",
        lambda saver: saver.delete_thread(thread),
        (lambda state: {key: one for key, one in state.items() if key[0] != thread},),
    )


def _delete_for_runs(worker: Worker) -> Operation | None:
    if not worker.state:
        return None
    runs = sorted({one.metadata["run_id"] for one in worker.state.values()})
    run = worker.random.choice(runs)
    threads = sorted({key[0] for key, one in worker.state.items() if one.metadata["run_id"] == run})

    def of(thread: str) -> Effect:
        return lambda state: _without(
            state,
            {
                key
                for key, one in state.items()
                if key[0] == thread and one.metadata["run_id"] == run
            },
        )

    return Operation(
        "delete_for_runs", lambda saver: saver.delete_for_runs([run]), tuple(map(of, threads))
    )


def _prune(worker: Worker) -> Operation | None:
    if not worker.state:
        return None
    random, all_threads = worker.random, worker.threads()
    threads = random.sample(all_threads, random.randint(1, min(2, len(all_threads))))
    keep = random.randint(1, 3)

    def of(thread: str) -> Effect:
        def effect(state: State) -> State:
            deleted: set[Key] = set()
            for namespace in {key[1] for key in state if key[0] == thread}:
                keys = sorted(key for key in state if key[:2] == (thread, namespace))
                deleted.update(keys[:-keep])
            return _without(state, deleted)

        return effect

    return Operation(
        "prune", lambda saver: saver.prune(threads, keep_last=keep), tuple(map(of, threads))
    )


def _without(state: State, deleted: set[Key]) -> State:
    left = {key: one for key, one in state.items() if key not in deleted}
    return {
        key: one._replace(parent=None)
        if one.parent is not None and (*key[:2], one.parent) in deleted
        else one
        for key, one in left.items()
    }


def _copy_thread(worker: Worker) -> Operation | None:
    threads = worker.threads()
    if not threads or len(threads) >= worker.MAX_THREADS:
        return None
    source, target = worker.random.choice(threads), worker.new_thread()

    def effect(state: State) -> State:
        copies = {(target, *key[1:]): one for key, one in state.items() if key[0] == source}
        return {**state, **copies}

    return Operation("copy_thread", lambda saver: saver.copy_thread(source, target), (effect,))


def _set_ttl(worker: Worker) -> Operation | None:
    if not worker.state:
        return None
    thread = worker.random.choice(worker.threads())
    minutes = worker.random.choice([_LONG, _LONG, None])

    def effect(state: State) -> State:
        return {
            key: one._replace(expires=minutes is not None) if key[0] == thread else one
            for key, one in state.items()
        }

    return Operation("set_ttl", lambda saver: saver.set_ttl(thread, minutes), (effect,))


def _sweep(worker: Worker) -> Operation:
    threads = sorted({key[0] for key, one in worker.state.items() if one.expires})

    def of(thread: str) -> Effect:
        return lambda state: {key: one for key, one in state.items() if key[0] != thread}

    return Operation("sweep", lambda saver: saver.sweep(now=_FAR_FUTURE), tuple(map(of, threads)))


_LONG = 1e6  # minutes: no thread expires during a run
_FAR_FUTURE = 4e9  # seconds since the epoch, after every expiry
STORE_WIDE_KINDS = ("set_ttl", "sweep")
"""Calls that also change the threads of other workers."""

KINDS: dict[str, tuple[float, Callable[[Worker], Operation | None]]] = {
    "put": (10, _put),
    "replace": (1, _replace),
    "put_writes": (6, _put_writes),
    "delete_thread": (1, _delete_thread),
    "delete_for_runs": (1, _delete_for_runs),
    "prune": (2, _prune),
    "copy_thread": (1, _copy_thread),
    "set_ttl": (1, _set_ttl),
    "sweep": (1, _sweep),
    "compact": (0.3, lambda _: Operation("compact", lambda saver: saver.compact(), ())),
}
"""Kinds of calls: weight, and function that returns a call, or None if it is impossible now."""
