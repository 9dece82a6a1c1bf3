"""Clauses about sequences of operations, found by state machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Load, Severity, clause
from saver_conformance.concurrency import Iteration
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, at, checkpoint_id
from saver_conformance.values import CHANNELS, NAMESPACES, SIMPLE, THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from saver_conformance.session import Session

_NUMBERS = st.integers(0, 6)
_TASKS = st.sampled_from(["task-a", "task-b"])
_RUNS = st.sampled_from(["run-1", "run-2"])
_WRITES = st.lists(st.tuples(CHANNELS, SIMPLE), min_size=1, max_size=3)
_SPECIAL = st.sampled_from(["__error__", "__interrupt__", "__resume__"])


def claims(capability: Capability) -> Callable[[Any], bool]:
    """Return a precondition that is True if the saver claims a capability.

    Args:
        capability: Capability.

    Returns:
        Function of a machine.
    """
    return lambda machine: capability in machine.s.claimed


class Operations(RuleBasedStateMachine):
    """A state machine with every operation of the protocol, on a saver and on the model.

    Operations whose own clause is broken are omitted, so that a failure shows a new fault.

    Args:
        session: A session with an empty store.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.s = session
        self.parts: tuple[Part, ...] = tuple(a for a in ALL if not self._blamed(a))
        self.paused: Iteration | None = None
        self._newest: dict[tuple[str, str], Ref] = {}
        self._chains_whole = True

    def _blamed(self, part: Part) -> bool:
        stems = {
            Part.METADATA: "metadata.",
            Part.VALUES: "put.",
            Part.WRITES: "writes.order.",
            Part.PARENT: "get.parent",
        }
        stem = stems.get(part)
        return stem is not None and any(broken.startswith(stem) for broken in self.s.broken)

    def _place(self, ns: str) -> str:
        return ns if self._intact("identity.namespace") else ns.partition("|")[0]

    def _intact(self, *clauses: str) -> bool:
        return not any(b.startswith(c) for b in self.s.broken for c in clauses)

    @rule(thread=THREADS, ns=NAMESPACES, number=_NUMBERS, run=_RUNS, data=st.data())
    def put(self, thread: str, ns: str, number: int, run: str, data: st.DataObject) -> None:
        """Put a checkpoint, with or without a parent."""
        ns = self._place(ns)
        known = self.s.model.ids(thread, ns)
        if not self._intact("latest.by_id", "list.order"):
            number = len(known)
        ref = Ref(thread, checkpoint_id(number), ns)
        if ref.id in known:
            return
        parent = data.draw(st.sampled_from([None, *sorted(known)]))
        changes = data.draw(st.dictionaries(CHANNELS, SIMPLE, max_size=2))
        metadata = {"source": "loop", "step": number, "run_id": run, "parents": {}}
        origin = None if parent is None else Ref(thread, parent, ns)
        # The clause put.fork covers two branches with the same channel version.
        newest = self._newest.get((thread, ns))
        self.s.put(ref, parent=origin, changes=changes, metadata=metadata, newer_than=newest)
        if changes:
            self._newest[thread, ns] = ref

    @rule(thread=THREADS, count=st.integers(1, 3), value=SIMPLE)
    def continue_run(self, thread: str, count: int, value: Any) -> None:
        """Put checkpoints after the latest one, as a run of a graph does."""
        for _ in range(count):
            known = sorted(self.s.model.ids(thread, ""))
            latest = Ref(thread, known[-1]) if known else None
            number = int(known[-1][3:8], 16) + 1 if known else 0
            metadata = {"source": "loop", "step": number, "run_id": "run-1", "parents": {}}
            ref = Ref(thread, checkpoint_id(number))
            newest = self._newest.get((thread, ""))
            changes = {"messages": [value]}
            self.s.put(ref, parent=latest, changes=changes, metadata=metadata, newer_than=newest)
            self._newest[thread, ""] = ref

    @precondition(lambda self: self._intact("writes.first_wins", "writes.last_wins"))
    @rule(thread=THREADS, ns=NAMESPACES, number=_NUMBERS, task=_TASKS, writes=_WRITES)
    def put_writes(
        self, thread: str, ns: str, number: int, task: str, writes: list[tuple[str, Any]]
    ) -> None:
        """Put writes, possibly repeated or before their checkpoint."""
        ns = self._place(ns)
        ref = Ref(thread, checkpoint_id(number), ns)
        if ref.id in self.s.model.ids(thread, ns) or self._intact("writes.before_checkpoint"):
            self.s.put_writes(ref, writes, task, task_path="b" if task == "task-a" else "a")

    @precondition(lambda self: self._intact("writes.first_wins", "writes.last_wins"))
    @rule(thread=THREADS, number=_NUMBERS, task=_TASKS, channel=_SPECIAL, value=SIMPLE)
    def put_special(self, thread: str, number: int, task: str, channel: str, value: Any) -> None:
        """Put a special write, possibly over an earlier one."""
        ref = Ref(thread, checkpoint_id(number))
        if ref.id in self.s.model.ids(thread, ""):
            path = "b" if task == "task-a" else "a"
            self.s.put_writes(ref, [(channel, value)], task, task_path=path)

    @rule(thread=THREADS, ns=NAMESPACES)
    def get_latest(self, thread: str, ns: str) -> None:
        """Get the latest checkpoint of a namespace."""
        ns = self._place(ns)
        self.s.expect_tuple(at(thread, ns), *self.parts)

    @rule(thread=THREADS, ns=NAMESPACES, number=_NUMBERS)
    def get(self, thread: str, ns: str, number: int) -> None:
        """Get a checkpoint that may not exist."""
        ns = self._place(ns)
        self.s.expect_tuple(Ref(thread, checkpoint_id(number), ns), *self.parts)

    @rule(thread=THREADS, ns=NAMESPACES, data=st.data())
    def list_namespace(self, thread: str, ns: str, data: st.DataObject) -> None:
        """List a namespace, with or without filter, before and limit."""
        ns = self._place(ns)
        options: dict[str, st.SearchStrategy[Any]] = {}
        if self._intact("list.limit"):
            options["limit"] = st.integers(1, 3)
        if self._intact("list.before"):
            options["before"] = st.builds(lambda n: at(thread, ns, checkpoint_id(n)), _NUMBERS)
        if self._intact("list.filter"):
            options["filter"] = st.builds(lambda run: {"run_id": run}, _RUNS)
        narrowing = data.draw(st.fixed_dictionaries({}, optional=options))
        self.s.expect_list(at(thread, ns), *self.parts, **narrowing)

    @precondition(lambda self: self._intact("list.everything", "list.all_namespaces"))
    @rule(thread=st.none() | THREADS)
    def list_all(self, thread: str | None) -> None:
        """List a thread or every thread."""
        self.s.expect_list(None if thread is None else at(thread, None), *self.parts)

    @rule(thread=THREADS, ns=NAMESPACES)
    def history(self, thread: str, ns: str) -> None:
        """Get the history from the latest checkpoint."""
        ns = self._place(ns)
        if self._chains_whole and self._intact("history", "writes.order", "get.parent", "put."):
            self.s.expect_history(at(thread, ns), ["messages", "files"])

    @precondition(claims(Capability.DELETE_THREAD))
    @rule(thread=THREADS)
    def delete_thread(self, thread: str) -> None:
        """Delete a thread."""
        if self._intact("delete_thread"):
            self.s.delete_thread(thread)

    @precondition(claims(Capability.DELETE_FOR_RUNS))
    @rule(run=_RUNS)
    def delete_for_runs(self, run: str) -> None:
        """Delete a run."""
        if self._intact("runs."):
            self.s.delete_for_runs([run])
            self._leave_chains_open()

    @precondition(claims(Capability.COPY_THREAD))
    @rule(source=THREADS, number=st.integers(0, 1))
    def copy_thread(self, source: str, number: int) -> None:
        """Copy a thread to an empty one, without checkpoints or writes."""
        target = f"copy-{number}-of-{source}"
        if self._intact("copy.") and not self.s.model.holds(target):
            self.s.copy_thread(source, target)
            self.s.expect_list(at(target, None), *self.parts)

    @precondition(claims(Capability.PRUNE))
    @rule(thread=THREADS, strategy=st.sampled_from(["keep_latest", "delete"]))
    def prune(self, thread: str, strategy: str) -> None:
        """Prune a thread."""
        if self._intact("prune."):
            self.s.prune([thread], strategy)
            self._leave_chains_open()

    def _leave_chains_open(self) -> None:
        """Stop comparing parents and histories, which are unspecified after a deletion."""
        self._chains_whole = False
        self.parts = tuple(a for a in self.parts if a is not Part.PARENT)

    @precondition(claims(Capability.REOPEN))
    @rule()
    def reopen(self) -> None:
        """Close and reopen the store."""
        self.paused = None
        if self._intact("reopen."):
            self.s.reopen()

    @precondition(lambda self: self._intact("list.paused", "list.dropped"))
    @rule(thread=THREADS)
    def begin(self, thread: str) -> None:
        """Start a list and leave it paused."""
        self.paused = Iteration(self.s, at(thread))
        self.paused.next()

    @precondition(lambda self: self.paused is not None)
    @rule()
    def drop(self) -> None:
        """Drop the paused list."""
        if self.paused is not None:
            self.paused.drop()
            self.paused = None


@clause(
    "machine.operations",
    source="BaseCheckpointSaver: any sequence of operations",
    severity=Severity.CRITICAL,
    capability=Capability.GET_TUPLE,
    load=Load.MACHINE,
)
def operations(s: Session) -> RuleBasedStateMachine:
    """After any sequence of operations the store equals the model."""
    return Operations(s)


class MixedApis(Operations):
    """A state machine whose operations switch between both APIs.

    Args:
        session: A session with an empty store.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._turn = Api.SYNC
        session.choose_api = lambda: self._turn

    @rule(api=st.sampled_from(Api))
    def turn(self, api: Api) -> None:
        """Use one API for the following calls."""
        self._turn = api


@clause(
    "machine.mixed",
    source="one store serves graph.invoke and graph.ainvoke",
    severity=Severity.CRITICAL,
    capability=Capability.ASYNC,
    needs=[Capability.BOTH_APIS],
    apis=(Api.SYNC,),
    load=Load.MACHINE,
)
def mixed(s: Session) -> RuleBasedStateMachine:
    """After any sequence of operations with both APIs the store equals the model."""
    return MixedApis(s)
