"""Clauses about reopened stores, stores in several processes, and killed processes."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.child import Child, RemoteError, locate
from saver_conformance.clause import Load, Severity, clause
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint
from saver_conformance.timeouts import CallTimeoutError
from saver_conformance.violation import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hypothesis.strategies import DataObject

_PROCESSES = "SaverSpec.attach: the store may be open in several processes"
_DURABLE = "SaverSpec.durable: acknowledged data survives SIGKILL"

#: Moments at which one process pauses while it sets up a store.
_PAUSES = 8


@clause(
    "reopen.state",
    source="SaverSpec.reopen: the store persists after its saver is closed",
    severity=Severity.CRITICAL,
    capability=Capability.REOPEN,
    presumes=["writes.order.*", "writes.first_wins", "writes.last_wins"],
)
def reopened(s: Session, data: DataObject) -> None:
    """A reopened store has the same content."""
    refs: list[Ref] = []
    for number in range(data.draw(st.integers(1, 3))):
        ns = data.draw(st.sampled_from(["", "child"]))
        changes = {"a": [number], f"b{number}": number}
        ref = Ref("thread", checkpoint_id(number), ns)
        refs.append(s.put(ref, changes=changes, newer_than=refs[-1] if refs else None))
        s.put_writes(refs[-1], [("a", n) for n in range(11)], task_path="p")
        s.put_writes(refs[-1], [("__interrupt__", number)])
    s.reopen()
    s.expect_everything(*ALL)
    s.expect_tuple(refs[-1], *ALL)
    # A slot that was used before the store was closed is still used.
    s.put_writes(refs[-1], [("a", "again")])
    s.put_writes(refs[-1], [("__interrupt__", "again")])
    s.expect_tuple(refs[-1], Part.WRITES)


@clause(
    "reopen.early_writes",
    cases=[("",), ("child",)],
    source="langchain-ai/langgraph#8039: writes may arrive before their checkpoint",
    severity=Severity.CRITICAL,
    capability=Capability.REOPEN,
    presumes=["writes.before_checkpoint", "reopen.state"],
)
def early_writes(s: Session, data: DataObject) -> None:
    """A reopened store has the writes that have no checkpoint yet."""
    early = Ref("thread", checkpoint_id(1), data.draw(st.sampled_from(["", "child"])))
    s.put(Ref("thread", checkpoint_id(0)))
    s.put_writes(early, [("a", 1), ("__interrupt__", 2)])
    s.reopen()
    s.put(early)
    s.expect_tuple(early, Part.WRITES)


@clause(
    "reopen.versions",
    source="BaseCheckpointSaver.get_next_version: must be increasing, in every process",
    severity=Severity.CRITICAL,
    capability=Capability.REOPEN,
)
def reopened_versions(s: Session, data: DataObject) -> None:
    """A thread continues after reopening, with its old and new values."""
    first = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [0], "b": [0]})
    s.reopen()
    second = s.put(Ref("thread", checkpoint_id(1)), parent=first, changes={"a": [1]})
    for ref in data.draw(st.permutations([first, second])):
        s.expect_tuple(ref, Part.VALUES, Part.VERSIONS)


#: Changes that one process makes and the other process sees.
_CHANGES: list[tuple[str, tuple[Any, ...]]] = [
    ("copy_thread", ("thread", "copy")),
    ("prune", (["copy"],)),
    ("delete_for_runs", (["run-0"],)),
    ("delete_thread", ("thread",)),
]


@contextmanager
def _second_process(s: Session, *, counted: bool = False) -> Iterator[Child]:
    s.script.line("# `second` is the saver of a second process with the same store")
    with s.guard("opening the store in a second process"):
        child = Child(locate(s.spec), s.path, s.api, s.executors.seconds, counted=counted)
    try:
        yield child
    finally:
        child.kill()


def _remote(s: Session, child: Child, method: str, *args: Any) -> Any:
    name = s.script.name("answer")
    shown = s.script.call(s.api, method, args, {}).replace("saver.", "second.", 1)
    s.script.line(f"{name} = {shown}")
    try:
        return child.call(method, *args)
    except (RemoteError, CallTimeoutError) as error:
        hung = isinstance(error, CallTimeoutError)
        kind = FailureKind.HUNG if hung else FailureKind.RAISED
        s.fail(f"{method} in a second process failed: {error}", kind)


def _put_args(thread: str, number: int, version: Any) -> tuple[Any, ...]:
    new = {"a": version, "b": version}
    checkpoint = make_checkpoint(checkpoint_id(number), {"a": [number], "b": [number]}, new)
    metadata = {"source": "loop", "step": number, "run_id": f"run-{number}"}
    return at(thread), checkpoint, metadata, new


@clause(
    "processes.visible",
    source=_PROCESSES,
    severity=Severity.CRITICAL,
    capability=Capability.PROCESSES,
    load=Load.HEAVY,
)
def visible(s: Session, data: DataObject) -> None:
    """A change by one process is visible in another process when the call has returned."""
    with _second_process(s) as second:
        ref = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [0]})
        name = s.script.name("seen")
        seen = _remote(s, second, "get_tuple", at("thread"))
        s.match(name, seen, s.model.get(at("thread")), Part.ID, Part.VALUES)
        s.expect_tuple(at("thread"), Part.ID)
        for number, version in enumerate(s.versions(data.draw(st.integers(1, 2)), ref), start=1):
            args = _put_args("thread", number, version.value)
            s.model.put(*args[:3])
            _remote(s, second, "put", *args)
            s.expect_tuple(at("thread"), Part.ID, Part.VALUES)
        s.model.put_writes(ref.config, [("a", 1)], "task")
        _remote(s, second, "put_writes", ref.config, [("a", 1)], "task")
        s.expect_tuple(ref, Part.WRITES)
        s.put_writes(ref, [("b", [2])], "other")
        for method, args in _CHANGES:
            if Capability(method) not in s.claimed:
                continue
            getattr(s.model, method)(*args)
            _remote(s, second, method, *args)
            for thread in ("thread", "copy"):
                s.expect_list(at(thread), Part.VALUES, Part.WRITES)
                name = s.script.name("seen")
                seen = _remote(s, second, "list", at(thread))
                s.match_list(name, seen, s.model.matching(at(thread)), Part.VALUES, Part.WRITES)
        s.put(Ref("thread", checkpoint_id(7)))
        seen = _remote(s, second, "get_tuple", at("thread"))
        s.match("seen", seen, s.model.get(at("thread")), Part.ID, Part.VALUES)


@clause(
    "processes.setup",
    source=f"{_PROCESSES}; the workers of a service start at the same moment",
    severity=Severity.CRITICAL,
    capability=Capability.PROCESSES,
    load=Load.HEAVY,
)
def setup(s: Session, data: DataObject) -> None:
    """Two processes that set up an empty store at the same moment both use it."""
    shift = data.draw(st.integers(0, _PAUSES - 1))
    [version] = s.versions(1)
    puts = [_put_args(f"setup-{number}", number, version.value) for number in range(2)]
    wanted = [{"a": [number], "b": [number]} for number in range(2)]
    place = (locate(s.spec), s.path, s.api, s.executors.seconds)
    with ExitStack() as stack, s.guard("setting up a store in two processes"):
        pair = []
        for _ in range(2):
            pair.append(Child(*place, first=True, paused=True, opening=True))
            stack.callback(pair[-1].kill)
        # The first opening of a process also imports modules.
        steps = [pair[0].open(_new_folder(s, f"warm-{number}")) for number in range(2)][-1]
        pair[1].open(_new_folder(s, "warm"))
        # If `attach` is another function, `open` may empty a server, also after a put.
        for pause in [0, *_pauses(steps, shift)]:
            s.script.line("# two processes open the same empty store at the same moment")
            if pause:
                s.script.line(f"# one pauses before step {pause} of {steps} of its opening")
            folder = _new_folder(s, f"store-{pause}")
            _open_both(pair, folder, pause, puts, early=s.spec.open is s.spec.attach)
            for child in pair:
                found = [child.call("list", put[0]) for put in puts]
                values = [t.checkpoint["channel_values"] for listed in found for t in listed]
                s.expect("[t.checkpoint['channel_values'] for t in listed]", values, wanted)


def _new_folder(s: Session, name: str) -> Path:
    folder = s.path / name
    folder.mkdir()
    return folder


def _pauses(steps: int, shift: int) -> list[int]:
    """Return the steps before which an opening pauses: all, or some at equal distances."""
    if steps <= _PAUSES:
        return [*range(1, steps + 1)]
    return [1 + (steps * n + shift * steps // _PAUSES) // _PAUSES for n in range(_PAUSES)]


def _open_both(
    pair: list[Child], folder: Path, pause: int, puts: list[tuple[Any, ...]], *, early: bool
) -> None:
    """Open a store in two processes and put a checkpoint in each.

    If the first pauses, the second opens the store in the meantime. If the second waits for a lock
    of the first, the first continues.

    Args:
        pair: Processes.
        folder: Folder of the store.
        pause: Step before which the first pauses; 0 never pauses it.
        puts: Arguments of the puts.
        early: True if the second puts its checkpoint before the first continues.
    """
    first, second = pair
    first.send_open(folder, pause)
    is_paused = pause > 0 and first.receive() == "paused"
    second.send_open(folder)
    puts_early = is_paused and second.answers_or_waits() and early
    if puts_early:
        second.receive()
        second.send("put", *puts[1])
        second.answers_or_waits()
    if is_paused:
        first.proceed()
    if is_paused or not pause:
        first.receive()
    first.call("put", *puts[0])
    second.receive()
    if not puts_early:
        second.call("put", *puts[1])


@clause(
    "processes.writers",
    source=_PROCESSES,
    severity=Severity.CRITICAL,
    capability=Capability.PROCESSES,
    load=Load.HEAVY,
)
def writers(s: Session, data: DataObject) -> None:
    """Two processes that write concurrently lose nothing and raise nothing."""
    count = data.draw(st.integers(10, 20))
    versions = s.versions(count)
    with _second_process(s) as second:
        theirs = [_put_args("theirs", n, version.value) for n, version in enumerate(versions)]
        s.expect_tuple(at("ours"))  # completes the setup of the store
        _remote(s, second, "get_tuple", at("theirs"))
        for args in theirs:
            s.model.put(*args[:3])
        s.script.line(f"# the second process puts {count} checkpoints concurrently")
        second.send("each", [("put", args) for args in theirs])
        with s.guard("putting concurrently in a second process"):
            for number in range(count):
                # After each answer the second process puts again, while this one puts.
                s.put(Ref("ours", checkpoint_id(number)))
                second.receive()
            second.receive()
    s.expect_list(at("ours"))
    s.expect_list(at("theirs"), Part.VALUES)


@clause(
    "durable.acknowledged",
    source=_DURABLE,
    severity=Severity.CRITICAL,
    capability=Capability.DURABLE,
    needs=[Capability.REOPEN],
    load=Load.HEAVY,
)
def acknowledged(s: Session, data: DataObject) -> None:
    """Acknowledged data of a killed process is present when the store is reopened."""
    versions = s.versions(data.draw(st.integers(1, 4)))
    s.close()
    with _second_process(s) as victim:
        for number, version in enumerate(versions):
            args = _put_args("thread", number, version.value)
            s.model.put(*args[:3])
            _remote(s, victim, "put", *args)
        ref = Ref("thread", checkpoint_id(0))
        s.model.put_writes(ref.config, [("a", 1)], "task")
        _remote(s, victim, "put_writes", ref.config, [("a", 1)], "task")
        s.script.line("# the second process is killed here")
    s.open_again()
    s.expect_list(at("thread"), Part.VALUES, Part.WRITES, Part.METADATA)
    s.put(Ref("thread", checkpoint_id(9)))
    s.expect_tuple(at("thread"), Part.ID)


@clause(
    "durable.whole",
    source=_DURABLE,
    severity=Severity.CRITICAL,
    capability=Capability.DURABLE,
    needs=[Capability.REOPEN],
    load=Load.HEAVY,
    cases=[(2, 30), (3, 60), (4, 90)],
)
def whole(s: Session, data: DataObject) -> None:
    """A checkpoint whose put was interrupted by SIGKILL is complete or absent."""
    values = [version.value for version in s.versions(20)]
    s.close()
    answers = data.draw(st.integers(1, 12))
    percent = data.draw(st.integers(0, 99))
    with _second_process(s, counted=True) as victim:
        s.script.line(f"# the second process puts checkpoints and is killed after {answers}")
        puts = [("put", _put_args("thread", n, value)) for n, value in enumerate(values)]
        with s.guard("putting in a second process"):
            kept = [checkpoint_id(n) for n in victim.kill_within_call(puts, answers, percent)]
    s.open_again()
    name = s.script.name("listed")
    found = s.call("list", at("thread"), bind=name)
    ids = [t.checkpoint["id"] for t in found]
    s.expect(f"len({name}) >= {len(kept)}", set(kept) <= set(ids), True)
    for position, item in enumerate(found):
        number = len(found) - 1 - position
        found_values = dict(sorted(item.checkpoint["channel_values"].items()))
        expression = f'{name}[{position}].checkpoint["channel_values"]'
        s.expect(expression, found_values, {"a": [number], "b": [number]})
    s.put(Ref("thread", checkpoint_id(300)), metadata={"source": "loop", "step": 300})
    s.expect_tuple(at("thread"), Part.ID)
