"""Clauses about the async API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import ALL, Part
from saver_conformance.recorder import acall
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint
from saver_conformance.timeouts import LoopThread

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_REF = Ref("thread", checkpoint_id(1))
_ASYNC = (Api.ASYNC,)


def _checkpoint(s: Session, value: Any) -> tuple[dict[str, Any], str, dict[str, Any]]:
    version = s.version_after(None)
    new = {"a": version.value}
    return make_checkpoint(_REF.id, {"a": value}, new), version.text, new


@clause(
    "async.faces",
    cases=[(False,), (True,)],
    source="one store serves graph.invoke and graph.ainvoke",
    severity=Severity.CRITICAL,
    capability=Capability.ASYNC,
    needs=[Capability.BOTH_APIS],
    apis=_ASYNC,
)
def apis(s: Session, data: DataObject) -> None:
    """A value that one API stored is returned by the other API."""
    chosen = {"writer": Api.SYNC, "reader": Api.ASYNC}
    if data.draw(st.booleans()):
        chosen = {"writer": Api.ASYNC, "reader": Api.SYNC}
    s.choose_api = lambda: chosen["writer"]
    ref = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [1]})
    s.put_writes(ref, [("a", 2)])
    s.choose_api = lambda: chosen["reader"]
    s.expect_tuple(ref, *ALL)
    s.expect_list(at("thread"), *ALL)


@clause(
    "async.snapshot",
    cases=[(1,), (2,), (3,)],
    source="langchain-ai/langgraph#4168: aput stored mutations made after it was called",
    severity=Severity.CRITICAL,
    capability=Capability.ASYNC,
    apis=_ASYNC,
)
def snapshot(s: Session, data: DataObject) -> None:
    """aput stores the state at the time of the call, even if the caller mutates it later."""
    # The first call of some savers runs their setup, which yields to the loop.
    s.put(Ref("thread", checkpoint_id(0)))
    steps = data.draw(st.integers(1, 3))
    value = [0]
    checkpoint, version, new = _checkpoint(s, value)
    s.model.put(at("thread"), checkpoint, {"source": "loop", "step": 0})
    s.script.line(
        f"value = [0]\n"
        f"metadata = {{'source': 'loop', 'step': 0}}\n"
        f"stored = checkpoint({_REF.id!r}, {{'a': value}}, {{'a': {version}}})\n"
        f"call = saver.aput(at('thread'), stored, metadata, {{'a': {version}}})\n"
        "putting = asyncio.ensure_future(call)\n"
        f"for _ in range({steps}):\n    await asyncio.sleep(0)\n"
        "value.append(1)\nawait putting"
    )

    async def mutate_during_call() -> None:
        metadata = {"source": "loop", "step": 0}
        putting = asyncio.ensure_future(
            acall(s.saver, "put", (at("thread"), checkpoint, metadata, new), {})
        )
        for _ in range(steps):
            await asyncio.sleep(0)
        value.append(1)
        await putting

    with s.guard("aput"):
        s.executors.loop.run(mutate_during_call(), s.executors.seconds)
    s.expect_tuple(_REF, Part.VALUES)


@clause(
    "async.snapshot.writes",
    cases=[(1,), (2,), (3,)],
    source="langchain-ai/langgraph#4168: aput stored mutations made after it was called",
    severity=Severity.CRITICAL,
    capability=Capability.ASYNC,
    apis=_ASYNC,
)
def snapshot_of_writes(s: Session, data: DataObject) -> None:
    """aput_writes stores the values at the time of the call, even if the caller mutates them."""
    before = s.put(Ref("thread", checkpoint_id(0)))
    steps = data.draw(st.integers(1, 3))
    value = [0]
    s.model.put_writes(before.config, [("a", value)], "task")
    shown = s.script.argument(before.config)
    s.script.line(
        f"value = [0]\n"
        f"call = saver.aput_writes({shown}, [('a', value)], 'task')\n"
        "putting = asyncio.ensure_future(call)\n"
        f"for _ in range({steps}):\n    await asyncio.sleep(0)\n"
        "value.append(1)\nawait putting"
    )

    async def mutate_during_call() -> None:
        given = (before.config, [("a", value)], "task")
        putting = asyncio.ensure_future(acall(s.saver, "put_writes", given, {}))
        for _ in range(steps):
            await asyncio.sleep(0)
        value.append(1)
        await putting

    with s.guard("aput_writes"):
        s.executors.loop.run(mutate_during_call(), s.executors.seconds)
    s.expect_tuple(before, Part.WRITES)


@clause(
    "async.cancelled",
    cases=[(0, "put"), (1, "put"), (2, "put"), (3, "put"), (1, "put_writes"), (2, "put_writes")],
    source="asyncio cancels a call when its caller times out or disconnects",
    severity=Severity.CRITICAL,
    capability=Capability.ASYNC,
    apis=_ASYNC,
)
def cancelled(s: Session, data: DataObject) -> None:
    """A cancelled call stores everything or nothing, and later calls work."""
    before = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [0], "b": [0]})
    steps = data.draw(st.integers(0, 6))
    method = data.draw(st.sampled_from(["put", "get_tuple", "put_writes"]))
    [version] = s.versions(1, before)
    new = {"a": version.value, "b": version.value}
    checkpoint = make_checkpoint(_REF.id, {"a": [1], "b": [1]}, new)
    args: dict[str, tuple[Any, ...]] = {
        "put": (at("thread"), checkpoint, {"source": "loop", "step": 1}, new),
        "get_tuple": (before.config,),
        "put_writes": (before.config, [("a", 1), ("b", 1)], "task"),
    }
    shown = s.script.bare_call(Api.ASYNC, method, args[method], {})
    s.script.line(
        f"task = asyncio.ensure_future({shown})\n"
        f"for _ in range({steps}):\n    await asyncio.sleep(0)\n"
        "task.cancel()\nawait asyncio.gather(task, return_exceptions=True)"
    )

    async def cancel() -> None:
        task = asyncio.ensure_future(acall(s.saver, method, args[method], {}))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with s.guard(f"a{method}, cancelled"):
        s.executors.loop.run(cancel(), s.executors.seconds)
    _expect_all_or_nothing(s, before)
    last = Ref("thread", checkpoint_id(2))
    s.put(last, parent=before, changes={"a": [2]}, versions={"a": s.version_after(version).value})
    s.expect_tuple(at("thread"), Part.ID, Part.VALUES)


def _expect_all_or_nothing(s: Session, before: Ref) -> None:
    name = s.script.name("got")
    got = s.call("get_tuple", _REF.config, bind=name)
    if got is not None and dict(got.checkpoint["channel_values"]) != {"a": [1], "b": [1]}:
        found = f'{name}.checkpoint["channel_values"]'
        s.fail_assertion(
            f'{name} is None or {found} == {{"a": [1], "b": [1]}}, {found}',
            f"{found} is {got.checkpoint['channel_values']}, expected all new values",
        )
    name = s.script.name("got")
    got = s.call("get_tuple", before.config, bind=name)
    written = [] if got is None else [w[1] for w in got.pending_writes or ()]
    if written not in ([], ["a", "b"]):
        found = f"[w[1] for w in {name}.pending_writes]"
        s.fail_assertion(
            f'{found} in ([], ["a", "b"]), {found}',
            f"{found} is {written}, expected every write or none",
        )


@clause(
    "async.loops",
    cases=[(3,)],
    source="a saver created at import time is used from several asyncio.run calls",
    severity=Severity.MAJOR,
    capability=Capability.LOOPS,
    apis=_ASYNC,
)
def loops(s: Session, data: DataObject) -> None:
    """A saver that was opened outside an event loop works on several loops in turn."""
    s.script.line("# each of the following calls runs on its own event loop")
    latest = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [0]})
    s.expect_tuple(at("thread"), Part.VALUES)
    for number in range(1, data.draw(st.integers(2, 3))):
        another = LoopThread(f"loop-{number}")
        first = s.executors.replace_loop(another)
        try:
            following = Ref("thread", checkpoint_id(number))
            latest = s.put(following, parent=latest, changes={"a": [number]})
            s.expect_tuple(at("thread"), Part.ID, Part.VALUES)
        finally:
            s.executors.replace_loop(first)
            another.stop()
        s.expect_tuple(at("thread"), Part.ID, Part.VALUES)
