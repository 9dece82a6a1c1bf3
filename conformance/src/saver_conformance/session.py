"""One example: a saver and the model, given the same calls."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saver_conformance.aspects import ALL, Aspect, mismatch
from saver_conformance.capability import Face
from saver_conformance.model import Entry, Model
from saver_conformance.recorder import Recorder, shorten
from saver_conformance.source import Name, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TS = "2026-01-01T00:00:00+00:00"

#: A channel that is in `new_versions` and has no value, as a `DeltaChannel` is stored.
ABSENT = object()


def checkpoint_id(number: int) -> str:
    """Return the id of the nth checkpoint, shaped like the ones that LangGraph makes.

    Args:
        number: Its place in the order of ids, from 0 on.

    Returns:
        The id.
    """
    return f"1f0{number:05x}-0000-6000-8000-000000000000"


@dataclass(frozen=True)
class Ref:
    """A checkpoint that was put, or might be."""

    thread: str
    id: str
    ns: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The config that names it."""
        return at(self.thread, self.ns, self.id)


def at(thread: Any, ns: str | None = "", id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a config.

    Args:
        thread: The thread.
        ns: The namespace; None leaves the key out.
        id: The checkpoint; None leaves the key out.
        **more: Further keys of `configurable`.

    Returns:
        The config.
    """
    where: dict[str, Any] = {"thread_id": thread}
    if ns is not None:
        where["checkpoint_ns"] = ns
    if id is not None:
        where["checkpoint_id"] = id
    return {"configurable": {**where, **more}}


class Session(Recorder):
    """What the body of a clause works with: every operation goes to the saver and to the model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model = Model()
        self._versions: dict[Ref, dict[str, Name]] = {}
        self._values: dict[Ref, dict[str, Any]] = {}
        #: Every thread and namespace that was ever used.
        self._places: set[tuple[str, str]] = set()

    def version_after(self, latest: Name | None) -> Name:
        """Ask the saver for the version that follows another.

        Args:
            latest: The version before, or None for the first.

        Returns:
            The next version.

        Raises:
            Violation: If the saver raises or hangs.
        """
        name = self.script.name("v")
        return Name(name, self.call("get_next_version", latest, None, bind=name, face=Face.SYNC))

    def put(self, ref: Ref, **options: Any) -> Ref:
        """Put a checkpoint, as the runtime does: with every channel's value, and what changed.

        Args:
            ref: Where it goes.
            **options: See `try_put`.

        Returns:
            `ref`.

        Raises:
            Violation: If the saver raises or hangs.
        """
        stored = self.try_put(ref, **options)
        assert stored is not None
        return stored

    def try_put(
        self,
        ref: Ref,
        *,
        parent: Ref | None = None,
        changes: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        versions: Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        newer_than: Ref | None = None,
        refusal: tuple[type[BaseException], ...] = (),
    ) -> Ref | None:
        """Put a checkpoint that the saver may refuse.

        Args:
            ref: Where it goes.
            parent: The checkpoint that it follows, whose channels it inherits.
            changes: New values by channel; `ABSENT` changes the version and stores no value.
            metadata: Its metadata; None stands for that of an ordinary step.
            versions: Versions of the changed channels; None asks the saver for one.
            fields: Other fields of the checkpoint.
            config: Replaces the config altogether.
            newer_than: The checkpoint whose versions the new ones follow; None stands for `parent`.
            refusal: Exceptions by which the saver may refuse.

        Returns:
            `ref`, or None if the saver refused.

        Raises:
            Violation: If the saver raises or hangs.
        """
        changes = dict(changes or {})
        known = dict(self._versions.get(parent, {})) if parent else {}
        values = dict(self._values.get(parent, {})) if parent else {}
        new = {c: Name(repr(v), v) for c, v in (versions or {}).items()}
        if changes and versions is None:
            base = self._versions.get(newer_than, known) if newer_than else known
            new = dict.fromkeys(changes, self.version_after(_latest(base)))
        known.update(new)
        for channel, value in changes.items():
            if value is ABSENT:
                values.pop(channel, None)
            else:
                values[channel] = value
        checkpoint = {
            "v": 4,
            "id": ref.id,
            "ts": TS,
            "channel_values": values,
            "channel_versions": known,
            "versions_seen": {},
            "updated_channels": None,
            **(fields or {}),
        }
        where = dict(config or at(ref.thread, ref.ns, parent.id if parent else None))
        told = dict(metadata) if metadata is not None else {"source": "loop", "step": 0}
        refused = self.call("put", where, checkpoint, told, new, refusal=refusal)
        if isinstance(refused, BaseException):
            return None
        self.model.put(where, resolve(checkpoint), told)
        self._versions[ref], self._values[ref] = known, copy.deepcopy(values)
        self._places.add((ref.thread, ref.ns))
        return ref

    def put_writes(
        self,
        ref: Ref,
        writes: Sequence[tuple[str, Any]],
        task_id: str = "task",
        task_path: str | None = None,
    ) -> None:
        """Put the writes of a task.

        Args:
            ref: The checkpoint that they belong to.
            writes: Pairs of channel and value.
            task_id: The task.
            task_path: Its path; None leaves the argument out.

        Raises:
            Violation: If the saver raises or hangs.
        """
        self.model.put_writes(ref.config, writes, task_id, task_path or "")
        path: dict[str, Any] = {} if task_path is None else {"task_path": task_path}
        self.call("put_writes", ref.config, copy.deepcopy(list(writes)), task_id, **path)

    def delete_thread(self, thread: Any) -> None:
        """Delete a thread.

        Args:
            thread: Its id.

        Raises:
            Violation: If the saver raises or hangs.
        """
        self.model.delete_thread(thread)
        self.call("delete_thread", thread)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete runs.

        Args:
            run_ids: Their ids.

        Raises:
            Violation: If the saver raises or hangs.
        """
        self.model.delete_for_runs(run_ids)
        self.call("delete_for_runs", run_ids)

    def copy_thread(self, source: str, target: str) -> None:
        """Copy a thread.

        Args:
            source: The thread to copy.
            target: The thread that gets the copies.

        Raises:
            Violation: If the saver raises or hangs.
        """
        self.model.copy_thread(source, target)
        self.call("copy_thread", source, target)
        for ref in [r for r in self._versions if r.thread == source]:
            twin = Ref(target, ref.id, ref.ns)
            self._places.add((target, ref.ns))
            self._versions[twin], self._values[twin] = self._versions[ref], self._values[ref]

    def prune(self, threads: Sequence[str], strategy: str | None = None) -> None:
        """Prune threads.

        Args:
            threads: Their ids.
            strategy: The strategy; None leaves the argument out.

        Raises:
            Violation: If the saver raises or hangs.
        """
        chosen: dict[str, Any] = {} if strategy is None else {"strategy": strategy}
        self.model.prune(threads, **chosen)
        self.call("prune", threads, **chosen)

    def expect_tuple(self, where: Ref | dict[str, Any], *aspects: Aspect) -> Any:
        """Get a checkpoint and demand that it is what the model has.

        Args:
            where: The checkpoint, or the config to get it with.
            *aspects: What to compare; everything if none is given.

        Returns:
            The tuple, or None.

        Raises:
            Violation: If it differs.
        """
        config = where.config if isinstance(where, Ref) else where
        name = self.script.name("got")
        actual = self.call("get_tuple", config, bind=name)
        self.match(name, actual, self.model.get(config), *aspects)
        return actual

    def versions(self, count: int, after: Ref | None = None) -> list[Name]:
        """Ask the saver for versions that follow one another, as those of one channel do.

        Args:
            count: How many.
            after: The checkpoint whose versions they follow; None begins anew.

        Returns:
            The versions.

        Raises:
            Violation: If the saver raises or hangs.
        """
        found: list[Name] = []
        latest = _latest(self._versions[after]) if after else None
        for _ in range(count):
            latest = self.version_after(latest)
            found.append(latest)
        return found

    def versions_of(self, ref: Ref) -> dict[str, Name]:
        """Return the channel versions of a checkpoint that was put.

        Args:
            ref: The checkpoint.

        Returns:
            Its versions by channel.
        """
        return dict(self._versions[ref])

    def expect_history(self, config: dict[str, Any], channels: Sequence[str]) -> None:
        """Get the history of some channels and demand that it is what the model has.

        Args:
            config: Says which checkpoint.
            channels: The channels.

        Raises:
            Violation: If it differs.
        """
        name = self.script.name("history")
        actual = self.call(
            "get_delta_channel_history", config=config, channels=list(channels), bind=name
        )
        expected = self.model.history(config, channels)
        self.expect(f"sorted({name})", sorted(actual), sorted(expected))
        for channel, wanted in expected.items():
            found = [tuple(write) for write in actual[channel].get("writes", ())]
            self.expect(f'{name}[{channel!r}]["writes"]', found, wanted["writes"])
            has_seed = f'"seed" in {name}[{channel!r}]'
            self.expect(has_seed, "seed" in actual[channel], "seed" in wanted)
            if "seed" in wanted:
                seed = actual[channel]["seed"]
                self.expect(f'{name}[{channel!r}]["seed"]', seed, wanted["seed"])

    def match(self, expression: str, actual: Any, expected: Entry | None, *aspects: Aspect) -> None:
        """Demand that a tuple is what the model has.

        Args:
            expression: What yields the tuple in the program.
            actual: The tuple, or None.
            expected: What the model has, or None.
            *aspects: What to compare; everything if none is given.

        Raises:
            Violation: If it differs.
        """
        if expected is None:
            if actual is not None:
                self.differ(expression, actual, None)
            return
        if actual is None:
            self.script.line(f"assert {expression} is not None")
            self.fail(f"{expression} is None, not checkpoint {expected.key.id!r}")
        try:
            found = mismatch(expression, actual, expected, aspects or ALL)
        # What a saver returned may fail in any way when it is looked at.
        except Exception as error:  # noqa: BLE001
            self.fail(f"{expression} is no CheckpointTuple: {shorten(actual)} ({error!r})")
        if found:
            self.differ(*found)

    def expect_list(
        self,
        config: dict[str, Any] | None,
        *aspects: Aspect,
        threads: Sequence[str] | None = None,
        **narrowing: Any,
    ) -> list[Any]:
        """List checkpoints and demand that they are what the model has.

        Order counts within one namespace, which is as far as the base class promises it.

        Args:
            config: The config to list with.
            *aspects: What of each tuple to compare besides where it is.
            threads: Ignore every other thread (for a store with other content).
            **narrowing: `filter`, `before` and `limit`.

        Returns:
            The tuples.

        Raises:
            Violation: If they differ.
        """
        name = self.script.name("listed")
        actual: list[Any] = self.call("list", config, bind=name, **narrowing)
        expected = self.model.matching(config, **narrowing)
        if threads is not None:
            actual = [t for t in actual if t.config["configurable"]["thread_id"] in threads]
        self.match_list(name, actual, expected, *aspects)
        return actual

    def expect_everything(self, *aspects: Aspect, thread: str | None = None) -> None:
        """Demand that a thread, or the store, holds what the model has.

        A saver that cannot list several namespaces or threads at once is asked for each of them.

        Args:
            *aspects: What of each tuple to compare besides where it is.
            thread: The thread; None stands for all of them.

        Raises:
            Violation: If it differs.
        """
        at_once = "list.everything" if thread is None else "list.all_namespaces"
        if at_once not in self.broken:
            self.expect_list(None if thread is None else at(thread, None), *aspects)
            return
        for place in sorted(self._places):
            if thread in (None, place[0]):
                self.expect_list(at(*place), *aspects)

    def match_list(
        self, expression: str, actual: Any, expected: Sequence[Entry], *aspects: Aspect
    ) -> None:
        """Demand that listed tuples are what the model has.

        Args:
            expression: What yields the tuples in the program.
            actual: The tuples.
            expected: What the model has, in the model's order.
            *aspects: What of each tuple to compare besides where it is.

        Raises:
            Violation: If they differ.
        """
        try:
            keys = [_key_of(t) for t in actual]
        # As in `match`.
        except Exception as error:  # noqa: BLE001
            self.fail(f"{expression} has something that is no CheckpointTuple: {error!r}")
        wanted = [tuple(e.key) for e in expected]
        if len({key[:2] for key in [*keys, *wanted]}) <= 1:
            ids = f'[t.checkpoint["id"] for t in {expression}]'
            self.expect(ids, [k[2] for k in keys], [k[2] for k in wanted])
        else:
            self._expect_groups(expression, keys, wanted)
        entries = {tuple(e.key): e for e in expected}
        for position, key in enumerate(keys if aspects else ()):
            self.match(f"{expression}[{position}]", actual[position], entries[key], *aspects)

    def _expect_groups(
        self, expression: str, keys: Sequence[tuple[str, ...]], wanted: Sequence[tuple[str, ...]]
    ) -> None:
        where = 't.config["configurable"]'
        key = ", ".join(f'{where}["{k}"]' for k in ("thread_id", "checkpoint_ns", "checkpoint_id"))
        everything = f"sorted(({key}) for t in {expression})"
        self.expect(everything, sorted(keys), sorted(wanted))
        for thread, ns in sorted({k[:2] for k in wanted}):
            chosen = f'{where}["thread_id"] == {thread!r} and {where}["checkpoint_ns"] == {ns!r}'
            self.expect(
                f'[t.checkpoint["id"] for t in {expression} if {chosen}]',
                [k[2] for k in keys if k[:2] == (thread, ns)],
                [k[2] for k in wanted if k[:2] == (thread, ns)],
            )


def _latest(versions: Mapping[str, Name]) -> Name | None:
    return max(versions.values(), key=lambda version: version.value, default=None)


def _key_of(item: Any) -> tuple[str, str, str]:
    where = item.config["configurable"]
    return str(where["thread_id"]), where.get("checkpoint_ns", ""), item.checkpoint["id"]
