"""Concurrent calls, and a `list` that is consumed step by step."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from saver_conformance.capability import Api
from saver_conformance.linearizability import Event
from saver_conformance.recorder import acall
from saver_conformance.timeouts import call_on_workers

if TYPE_CHECKING:
    from saver_conformance.session import Session
    from saver_conformance.timeouts import Worker

_END = object()

Calls = Sequence[tuple[str, tuple[Any, ...]]]


def call_concurrently(session: Session, calls: Calls) -> list[Any]:
    """Make several calls concurrently: in threads, or as tasks of one loop.

    Args:
        session: Session; its API decides.
        calls: Method names with positional arguments.

    Returns:
        Results in the order of the calls.

    Raises:
        Violation: If a call raises or hangs.
    """
    api, script, executors = session.api, session.script, session.executors
    shown = [script.call(api, method, args, {}) for method, args in calls]
    what = f"one of {len(calls)} concurrent calls"
    if api is Api.ASYNC:
        inside = "".join(f"    {s.removeprefix('await ')},\n" for s in shown)
        script.line(f"await asyncio.gather(\n{inside})")
        coroutines = [acall(session.saver, m, copy.deepcopy(a), {}) for m, a in calls]
        with session.guard(what):
            results: list[Any] = executors.loop.run(_gather(coroutines), executors.seconds)
            return results
    inside = "".join(f"    lambda: {s},\n" for s in shown)
    script.line(
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"calls = [\n{inside}]\n"
        "with ThreadPoolExecutor(len(calls)) as pool:\n"
        "    for future in [pool.submit(call) for call in calls]:\n"
        "        future.result()"
    )
    functions = [_bound(session.saver, method, copy.deepcopy(args)) for method, args in calls]
    with session.guard(what):
        return call_on_workers(functions, executors.seconds)


def record(session: Session, plans: Sequence[Calls]) -> list[Event]:
    """Make sequences of calls, concurrent with one another, and record their times.

    Args:
        session: Session; its API decides between threads and tasks.
        plans: Calls of each thread or task, in order.

    Returns:
        Events with the calls and their results.

    Raises:
        Violation: If a call raises or hangs.
    """
    api, saver, executors = session.api, session.saver, session.executors
    for number, plan in enumerate(plans):
        for method, args in plan:
            shown = session.script.call(api, method, args, {})
            session.script.line(f"# {'task' if api is Api.ASYNC else 'thread'} {number}: {shown}")
    events: list[Event] = []

    def played(plan: Calls) -> None:
        for method, args in plan:
            began = time.perf_counter_ns()
            result = _bound(saver, method, copy.deepcopy(args))()
            events.append(Event((method, args), result, began, time.perf_counter_ns()))

    async def aplayed(plan: Calls) -> None:
        for method, args in plan:
            began = time.perf_counter_ns()
            result = await acall(saver, method, copy.deepcopy(args), {})
            events.append(Event((method, args), result, began, time.perf_counter_ns()))

    with session.guard("one of several concurrent calls"):
        if api is Api.ASYNC:
            executors.loop.run(_gather([aplayed(plan) for plan in plans]), executors.seconds)
        else:
            call_on_workers([partial(played, plan) for plan in plans], executors.seconds)
    return events


def call_from_both(session: Session, calls: Calls) -> None:
    """Make the calls of the sync API in threads and of the async API on a loop, together.

    Args:
        session: Session of a saver with both APIs.
        calls: Method names with positional arguments; every second call is async.

    Raises:
        Violation: If a call raises or hangs.
    """
    saver, executors = session.saver, session.executors
    for number, (method, args) in enumerate(calls):
        api = Api.ASYNC if number % 2 else Api.SYNC
        session.script.line(f"# concurrently: {session.script.call(api, method, args, {})}")
    tasks = [acall(saver, method, copy.deepcopy(args), {}) for method, args in calls[1::2]]
    functions = [_bound(saver, method, copy.deepcopy(args)) for method, args in calls[::2]]
    functions.append(lambda: executors.loop.run(_gather(tasks), executors.seconds))
    with session.guard("one of several concurrent calls of both APIs"):
        call_on_workers(functions, executors.seconds)


class Iteration:
    """A `list` that is consumed one checkpoint at a time.

    Args:
        session: Session; its API decides.
        config: Config to list with.
        **narrowing: `filter`, `before` and `limit`.
    """

    def __init__(self, session: Session, config: dict[str, Any] | None, **narrowing: Any) -> None:
        self._session = session
        self._api = api = session.api
        self.name = session.script.name("it")
        shown = session.script.bare_call(api, "list", (config,), narrowing)
        session.script.line(f"{self.name} = {shown}")
        method = getattr(session.saver, api.method("list"))
        given, named = copy.deepcopy((config, narrowing))

        def begin() -> Any:
            items = method(given, **named)
            return iter(items) if api is Api.SYNC else items

        with session.guard(api.method("list")):
            self._iterator = session.executors.worker.call(begin, session.executors.seconds)

    def next(self, worker: Worker | None = None) -> tuple[str, Any]:
        """Return the next tuple.

        Args:
            worker: Thread to call from; None uses the thread that started the iteration.

        Returns:
            Program variable of the tuple, and the tuple; None at the end.

        Raises:
            Violation: If the saver raises or hangs.
        """
        session, iterator = self._session, self._iterator
        name = session.script.name("item")
        executors = session.executors
        got: Any = None
        if self._api is Api.ASYNC:
            session.script.line(f"{name} = await anext({self.name}, None)")
            with session.guard("anext of alist"):
                got = executors.loop.run(_anext(iterator), executors.seconds)
        else:
            item = f"next({self.name}, None)"
            if worker is not None:
                session.script.line("from concurrent.futures import ThreadPoolExecutor")
                item = f"ThreadPoolExecutor(1).submit(next, {self.name}, None).result()"
            elif session.script.on_loop:
                item = f"await asyncio.to_thread(next, {self.name}, None)"
            session.script.line(f"{name} = {item}")
            with session.guard("next of list"):
                got = (worker or executors.worker).call(
                    lambda: next(iterator, _END), executors.seconds
                )
        return name, None if got is _END else got

    def drop(self) -> None:
        """Drop the iterator before its end."""
        self._session.script.line(f"del {self.name}")
        executors, held = self._session.executors, [self._iterator]
        self._iterator = None

        # As in a program, a generator closes in the thread that drops its last reference.
        async def drop_iterator() -> None:
            held.clear()

        with self._session.guard("dropping an iterator"):
            if self._api is Api.ASYNC:
                executors.loop.run(drop_iterator(), executors.seconds)
            else:
                executors.worker.call(held.clear, executors.seconds)


def _bound(saver: Any, method: str, args: tuple[Any, ...]) -> Callable[[], Any]:
    function = getattr(saver, method)
    return (lambda: [*function(*args)]) if method == "list" else (lambda: function(*args))


async def _gather(coroutines: list[Any]) -> list[Any]:
    return await asyncio.gather(*coroutines)


async def _anext(iterator: Any) -> Any:
    return await anext(iterator, _END)
