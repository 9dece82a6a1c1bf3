"""The operations of one example, applied to a saver and to the model."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saver_conformance.capability import Api
from saver_conformance.model import Model
from saver_conformance.recorder import Recorder
from saver_conformance.source import Name, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TS = "2026-01-01T00:00:00+00:00"

#: Marks a channel that is in `new_versions` without a value, as a `DeltaChannel` is stored.
ABSENT = object()


def checkpoint_id(number: int) -> str:
    """Return the nth checkpoint id, in LangGraph's format.

    Args:
        number: Position in the order of ids, from 0.

    Returns:
        Checkpoint id.
    """
    return f"1f0{number:05x}-0000-6000-8000-000000000000"


@dataclass(frozen=True)
class Ref:
    """A reference to a checkpoint, stored or not."""

    thread: str
    id: str
    ns: str = ""

    @property
    def config(self) -> dict[str, Any]:
        """The config of the checkpoint."""
        return at(self.thread, self.ns, self.id)


def at(thread: Any, ns: str | None = "", id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a config.

    Args:
        thread: Thread id.
        ns: Namespace; None omits the key.
        id: Checkpoint id; None omits the key.
        **more: Other keys of `configurable`.

    Returns:
        Config.
    """
    where: dict[str, Any] = {"thread_id": thread}
    if ns is not None:
        where["checkpoint_ns"] = ns
    if id is not None:
        where["checkpoint_id"] = id
    return {"configurable": {**where, **more}}


def make_checkpoint(
    id: str,
    values: Mapping[str, Any] | None = None,
    versions: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a checkpoint with every field that LangGraph sets.

    Args:
        id: Checkpoint id.
        values: Channel values.
        versions: Channel versions.
        **more: Other fields.

    Returns:
        Checkpoint.
    """
    return {
        "v": 4,
        "id": id,
        "ts": TS,
        "channel_values": dict(values or {}),
        "channel_versions": dict(versions or {}),
        "versions_seen": {},
        "updated_channels": None,
        **more,
    }


class Operations(Recorder):
    """A recorder that applies every operation to the saver and to the model."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model = Model()
        self._versions: dict[Ref, dict[str, Name]] = {}
        self._values: dict[Ref, dict[str, Any]] = {}
        #: Threads and namespaces that were used.
        self._places: set[tuple[str, str]] = set()

    def version_after(self, latest: Name | None) -> Name:
        """Return the version after another, from the saver.

        Args:
            latest: Version before, or None for the first.

        Returns:
            Next version.

        Raises:
            Violation: If the saver raises or hangs.
        """
        name = self.script.name("v")
        return Name(name, self.call("get_next_version", latest, None, bind=name, api=Api.SYNC))

    def put(self, ref: Ref, **options: Any) -> Ref:
        """Put a checkpoint as the runtime does: all channel values, and the changed versions.

        Args:
            ref: Checkpoint to put.
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
        inherits: Ref | None = None,
        all_new: bool = False,
        expected_errors: tuple[type[Exception], ...] = (),
    ) -> Ref | None:
        """Put a checkpoint that the saver may reject.

        Args:
            ref: Checkpoint to put.
            parent: Parent checkpoint.
            changes: New channel values; `ABSENT` sets a new version and stores no value.
            metadata: Metadata; None uses the metadata of an ordinary step.
            versions: Versions of the changed channels; None asks the saver for one.
            fields: Other fields of the checkpoint.
            config: Config that replaces the default one.
            newer_than: Checkpoint whose versions come before the new ones; None uses `parent`.
            inherits: Checkpoint whose channels are inherited; None uses `parent`.
            all_new: True to announce the versions of all channels as new.
            expected_errors: Exceptions that count as a rejection.

        Returns:
            `ref`, or None if the saver rejected it.

        Raises:
            Violation: If the saver raises or hangs.
        """
        changes = dict(changes or {})
        origin = inherits or parent
        known = dict(self._versions.get(origin, {})) if origin else {}
        values = dict(self._values.get(origin, {})) if origin else {}
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
        checkpoint = make_checkpoint(ref.id, values, known) | dict(fields or {})
        where = dict(config or at(ref.thread, ref.ns, parent.id if parent else None))
        stored_metadata = dict(metadata) if metadata is not None else {"source": "loop", "step": 0}
        arguments = (where, checkpoint, stored_metadata, dict(known) if all_new else new)
        if not self._accepts("put", *arguments, expected_errors=expected_errors):
            return None
        self.model.put(where, resolve(checkpoint), stored_metadata)
        self._versions[ref], self._values[ref] = known, copy.deepcopy(values)
        self._places.add((ref.thread, ref.ns))
        return ref

    def put_writes(
        self,
        ref: Ref,
        writes: Sequence[tuple[str, Any]],
        task_id: str = "task",
        task_path: str | None = None,
        **options: Any,
    ) -> None:
        """Put the writes of a task.

        Args:
            ref: Checkpoint of the writes.
            writes: Pairs of channel and value.
            task_id: Task id.
            task_path: Task path; None omits the argument.
            **options: `expected_errors`; see `call`.

        Raises:
            Violation: If the saver raises or hangs.
        """
        path: dict[str, Any] = {} if task_path is None else {"task_path": task_path}
        if self._accepts("put_writes", ref.config, list(writes), task_id, **path, **options):
            self.model.put_writes(ref.config, resolve(writes), task_id, task_path or "")

    def delete_thread(self, thread: Any, **options: Any) -> None:
        """Delete a thread.

        Args:
            thread: Thread id.
            **options: `expected_errors`; see `call`.

        Raises:
            Violation: If the saver raises or hangs.
        """
        if self._accepts("delete_thread", thread, **options):
            self.model.delete_thread(thread)

    def delete_for_runs(self, run_ids: Sequence[str], **options: Any) -> None:
        """Delete the checkpoints of some runs.

        Args:
            run_ids: Run ids.
            **options: `expected_errors`; see `call`.

        Raises:
            Violation: If the saver raises or hangs.
        """
        if self._accepts("delete_for_runs", run_ids, **options):
            self.model.delete_for_runs(run_ids)

    def copy_thread(self, source: str, target: str, **options: Any) -> None:
        """Copy a thread.

        Args:
            source: Thread to copy from.
            target: Thread to copy to.
            **options: `expected_errors`; see `call`.

        Raises:
            Violation: If the saver raises or hangs.
        """
        if not self._accepts("copy_thread", source, target, **options):
            return
        self.model.copy_thread(source, target)
        for ref in [r for r in self._versions if r.thread == source]:
            copied = Ref(target, ref.id, ref.ns)
            self._places.add((target, ref.ns))
            self._versions[copied], self._values[copied] = self._versions[ref], self._values[ref]

    def prune(self, threads: Sequence[str], strategy: str | None = None, **options: Any) -> None:
        """Prune threads.

        Args:
            threads: Thread ids.
            strategy: Strategy; None omits the argument.
            **options: `expected_errors`; see `call`.

        Raises:
            Violation: If the saver raises or hangs.
        """
        chosen: dict[str, Any] = {} if strategy is None else {"strategy": strategy}
        if self._accepts("prune", threads, **chosen, **options):
            self.model.prune(threads, **chosen)

    def _accepts(self, method: str, *args: Any, **kwargs: Any) -> bool:
        """Make a call and return False if the saver rejects it with an expected error."""
        return not isinstance(self.call(method, *args, **kwargs), Exception)

    def versions(self, count: int, after: Ref | None = None) -> list[Name]:
        """Return consecutive versions of one channel, from the saver.

        Args:
            count: Number of versions.
            after: Checkpoint whose versions come before; None starts with the first version.

        Returns:
            Versions in ascending order.

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
            ref: Checkpoint that was put.

        Returns:
            Versions by channel.
        """
        return dict(self._versions[ref])


def _latest(versions: Mapping[str, Name]) -> Name | None:
    return max(versions.values(), key=lambda version: version.value, default=None)
