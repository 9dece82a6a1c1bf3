"""The checks of the suite. Each raises AssertionError if a store breaks its rule."""

from __future__ import annotations

import inspect
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from saver_conformance.snapshots import values
from saver_conformance.snapshots.spec import HangError, fields_of, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from saver_conformance.snapshots.spec import OpenStore, SnapshotStoreSpec

_METHODS = ("save", "get", "list_versions", "delete")
_TIME = datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc)
_SEED = 0


def methods(spec: SnapshotStoreSpec, examples: int) -> None:  # noqa: ARG001
    """Check that the store has the protocol's methods, all sync or all coroutine functions."""
    with opened(spec) as store:
        for name in _METHODS:
            method = getattr(store.store, name, None)
            assert callable(method), f"the store has no method {name}"
            is_coroutine = inspect.iscoroutinefunction(method)
            assert is_coroutine == spec.is_async, f"{name}: coroutine function is {is_coroutine}"


def model(spec: SnapshotStoreSpec, examples: int) -> None:
    """Check that calls in any order answer as the model: a dict of versions for each task.

    The same calls come first in every run, so that plain faults are found for sure.
    """

    def program(data: st.DataObject) -> None:
        with opened(spec) as store:
            _run_drawn_calls(_Modeled(store), data)

    with opened(spec) as store:
        _run_first_calls(_Modeled(store))
    _repeat(program, examples)


def _run_first_calls(modeled: _Modeled) -> None:
    for version in (2, 1, 10, 3):
        modeled.save("task", version, {"step": version, "items": ["x" * 900] * version})
    modeled.save("task-2", 1, {"step": 1}, checkpoint=True)
    modeled.save("task-2", 2, {"step": True})  # equal to the first in Python
    modeled.save("Task", 7, {"step": 7})
    modeled.check("task-2", whole=True)
    modeled.save("task", 3, {"step": "replaced"})
    modeled.reopen()
    for version in (1, 9, 10, 1):  # an old one, a missing one, the latest, a deleted one
        modeled.delete("task", version)
        modeled.check("task", whole=True)
    modeled.save("task", 4, {"items": []})
    modeled.save("task", 1, {"step": "saved again"})
    for version in (2, 1):
        modeled.delete("task-2", version)
        modeled.check("task-2")
    modeled.reopen()
    for task in ("task", "task", "task-2", "missing"):
        modeled.delete(task)
        modeled.check("task-2")
    modeled.save("task", 1, {"step": "saved after the task was deleted"})
    modeled.check("task", whole=True)


def _run_drawn_calls(modeled: _Modeled, data: st.DataObject) -> None:
    states: dict[str, dict[str, Any]] = {}
    tasks = data.draw(st.lists(values.task_ids, min_size=1, max_size=3, unique=True))
    calls = ["save", "save", "save", "save", "get", "delete", "delete task", "reopen"]
    for number in range(data.draw(st.integers(1, 12))):
        call = data.draw(st.sampled_from(calls))
        task = data.draw(st.sampled_from(tasks))
        kept = [*modeled.versions(task)]
        version = data.draw(st.sampled_from(kept) if kept else values.versions)
        if call == "save":
            if data.draw(st.booleans()):
                version = data.draw(values.versions)
            state = states[task] = data.draw(values.changed(states.get(task, {})))
            is_checkpoint, time = data.draw(st.booleans()), data.draw(values.times)
            modeled.save(
                task,
                version,
                state,
                id=f"snapshot-{number}",
                checkpoint=is_checkpoint,
                created_at=time,
            )
        elif call == "delete":
            modeled.delete(task, version)
        elif call == "delete task":
            modeled.delete(task)
        elif call == "reopen":
            modeled.reopen()
        for name in {task, data.draw(st.sampled_from(tasks))}:
            modeled.check(name)
    for name in tasks:
        modeled.check(name, whole=True)


class _Modeled:
    """A store beside the model, which answers for it.

    Args:
        store: The store.
    """

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._kept: dict[str, dict[int, Any]] = {}

    def versions(self, task: str) -> dict[int, Any]:
        """Return the versions of a task that the store should have, by number."""
        return self._kept.setdefault(task, {})

    def save(self, task: str, version: int, state: dict[str, Any], **fields: Any) -> None:
        saved = self._store.spec.make(**{**_fields(task, version, state), **fields})
        _equal(self._store, self._store.call("save", saved), None)
        self.versions(task)[version] = fields_of(saved)
        self.check(task)

    def delete(self, task: str, version: int | None = None) -> None:
        versions = self.versions(task)
        deleted = [*versions] if version is None else [version] if version in versions else []
        arguments = (task,) if version is None else (task, version)
        _equal(self._store, self._store.call("delete", *arguments), bool(deleted))
        for number in deleted:
            del versions[number]

    def reopen(self) -> None:
        """Open the store again, if it should still have what it had."""
        if self._store.spec.is_durable:
            self._store.reopen()
            for task in self._kept:
                self.check(task, whole=True)

    def check(self, task: str, *, whole: bool = False) -> None:
        """Assert that the store has the expected versions of a task.

        Args:
            task: The task.
            whole: True: compare every version. False: the latest and the one saved last.
        """
        store, versions = self._store, self.versions(task)
        _equal(store, store.call("list_versions", task), sorted(versions))
        latest = versions[max(versions)] if versions else None
        _equal(store, fields_of(store.call("get", task)), latest)
        for version in sorted(versions) if whole else list(versions)[-1:]:
            _equal(store, fields_of(store.call("get", task, version)), versions[version])
        for version in {0, *(v + 1 for v in versions), *(v - 1 for v in versions)} - {*versions}:
            if version < 2**63:
                _equal(store, store.call("get", task, version), None)


def round_trip(spec: SnapshotStoreSpec, examples: int) -> None:
    """Check that every field, and any data of JSON, reads back as it was saved."""

    def program(data: st.DataObject) -> None:
        with opened(spec) as store:
            for version in (1, 2):
                state = data.draw(st.dictionaries(st.text(), values.json_values))
                fields = _fields(data.draw(values.task_ids), version, state, data.draw(st.text()))
                fields["created_at"] = data.draw(values.times)
                saved = spec.make(**fields)
                expected = fields_of(saved)
                store.call("save", saved)
                found = store.call("get", fields["task_id"], version)
                _equal(store, fields_of(found), expected)
                offset = found.created_at.utcoffset()
                _equal(store, offset, fields["created_at"].utcoffset())

    _repeat(program, examples)


def isolation(spec: SnapshotStoreSpec, examples: int) -> None:  # noqa: ARG001
    """Check that changing saved or returned data, at any depth, does not change the store."""
    with opened(spec) as store:
        state: dict[str, Any] = {"items": [{"n": 1}], "text": "x" * 3000}
        saved = spec.make(**_fields("task", 1, state))
        expected = fields_of(saved)
        store.call("save", saved)
        state["items"][0]["n"] = 2
        saved.data["items"].append("changed after save")
        saved.data["more"] = 1
        for version in (None, 1):
            found = store.call("get", "task", version)
            _equal(store, fields_of(found), expected)
            found.data["items"][0]["n"] = 3
            found.data["items"].append("changed after get")
            found.data["more"] = 1
            _equal(store, fields_of(store.call("get", "task", version)), expected)


def tasks_apart(spec: SnapshotStoreSpec, examples: int) -> None:  # noqa: ARG001
    """Check that tasks with similar ids share no versions, and are deleted one by one."""
    names = ["a", "A", "a ", " a", "a\x00", "a%", "a_", "a*", "ab", "á", "a" * 300, "a" * 301]
    with opened(spec) as store:
        for number, name in enumerate(names, 1):
            store.call("save", spec.make(**_fields(name, number, {"name": name})))
        for number, name in enumerate(names, 1):
            _equal(store, store.call("list_versions", name), [number])
            _equal(store, store.call("get", name).data, {"name": name})
            _equal(store, store.call("delete", name), True)
            for later, other in enumerate(names[number:], number + 1):
                _equal(store, store.call("list_versions", other), [later])
            _equal(store, store.call("delete", name), False)


def many_versions(spec: SnapshotStoreSpec, examples: int) -> None:  # noqa: ARG001
    """Check that a long task keeps each version whole, and loses only what is deleted."""
    with opened(spec) as store:
        items: list[str] = []
        expected = {}
        for version in range(1, 121):
            items.append(f"{version} " * 300)
            state = {"step": version, "items": list(items)}
            expected[version] = spec.make(**_fields("task", version, state))
            store.call("save", expected[version])
        for version in range(1, 121, 7):
            _equal(store, store.call("delete", "task", version), True)
            del expected[version]
        _equal(store, store.call("list_versions", "task"), sorted(expected))
        for version, saved in expected.items():
            _equal(store, fields_of(store.call("get", "task", version)), fields_of(saved))
        _equal(store, store.call("delete", "task"), True)
        _equal(store, store.call("list_versions", "task"), [])


def equal_data(spec: SnapshotStoreSpec, examples: int) -> None:  # noqa: ARG001
    """Check that data that are equal in Python, and differ in JSON, are kept apart."""
    numbers = [1, 1.0, True, 0, 0.0, -0.0, False]
    states: list[dict[str, Any]] = [{"a": number, "b": [number]} for number in numbers]
    states += [{"b": state["b"], "a": state["a"]} for state in states]  # the order of keys
    states += [{**state, "text": "x" * 5000} for state in states]
    with opened(spec) as store:
        for _ in range(2):  # the second time, versions are replaced
            for version, state in enumerate(states, 1):
                saved = spec.make(**_fields("task", version, state))
                store.call("save", saved)
                _equal(store, fields_of(store.call("get", "task", version)), fields_of(saved))
            for version, state in enumerate(states, 1):
                expected = fields_of(spec.make(**_fields("task", version, state)))
                _equal(store, fields_of(store.call("get", "task", version)), expected)
            states.append(states.pop(0))


def concurrent(spec: SnapshotStoreSpec, examples: int) -> None:  # noqa: ARG001
    """Check that saves at the same time lose nothing, and that reads see whole snapshots."""
    with opened(spec) as store:
        versions = range(1, 49)
        plans: list[list[tuple[str, Any]]] = [[] for _ in range(4)]
        for version in versions:
            state = {"step": version, "items": ["x" * 500] * (version % 7)}
            snapshot = spec.make(**_fields("task", version, state))
            plans[version % 4] += [("save", (snapshot,)), ("get", ("task",))]
        for plan, results in zip(plans, store.run_together(plans), strict=True):
            for (_, (saved,)), found in zip(plan[::2], results[1::2], strict=True):
                assert found.version >= saved.version, f"got an older version: {found.version}"
                assert found.data["step"] == found.version, "data of another version"
        _equal(store, store.call("list_versions", "task"), [*versions])
        for version in versions:
            found = store.call("get", "task", version)
            _equal(store, found.data["step"], version)


def _fields(task: str, version: int, state: dict[str, Any], name: str = "id") -> dict[str, Any]:
    return {
        "id": name,
        "task_id": task,
        "version": version,
        "data": state,
        "checkpoint": False,
        "created_at": _TIME,
    }


def _repeat(program: Callable[[st.DataObject], None], examples: int) -> None:
    """Run a program on drawn values, and shrink what fails. A call that hangs ends it."""

    def bounded(data: st.DataObject) -> None:
        try:
            program(data)
        except HangError as error:
            raise _StoppedError(error) from error

    seeded = seed(_SEED)(given(st.data())(bounded))
    try:
        settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
        )(seeded)()
    except _StoppedError as stopped:
        raise stopped.error from None


class _StoppedError(BaseException):
    """An exception that ends all examples: Hypothesis catches only an `Exception`."""

    def __init__(self, error: HangError) -> None:
        super().__init__(str(error))
        self.error = error


def _equal(store: OpenStore, got: Any, expected: Any) -> None:
    if got != expected or type(got) is not type(expected):
        calls = "\n  ".join(store.script)
        raise AssertionError(f"got {got!r}, expected {expected!r}, after\n  {calls}")


CHECKS: dict[str, Callable[[SnapshotStoreSpec, int], None]] = {
    check.__name__: check
    for check in (
        methods,
        model,
        round_trip,
        isolation,
        tasks_apart,
        many_versions,
        equal_data,
        concurrent,
    )
}
"""The checks by name. Each takes a spec and a number of examples."""
