"""Faults that show when the disk is full or broken."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from mutants.base import Faulty, mutant
from saver_conformance.specs.reference import fail_disk

_mutant = partial(mutant, disk=True, disk_errors=fail_disk)


@_mutant("disk.errors")
class IgnoresDiskErrors(Faulty):
    """put acknowledges a checkpoint that the disk refused."""

    def append(self, journal: Any, record: bytes) -> None:
        with suppress(OSError):
            super().append(journal, record)


@_mutant("disk.errors")
class KeepsRefusedChanges(Faulty):
    """A change that the disk refused is visible until the store is closed."""

    def write(self, operation: str, *args: Any, **kwargs: Any) -> None:
        with self.current(exclusive=True) as model:
            end = self.replayed
        try:
            super().write(operation, *args, **kwargs)
        except OSError:
            self.model, self.replayed = model, end
            raise


@_mutant("disk.errors")
class HalfPutOnFullDisk(Faulty):
    """put writes a checkpoint and its values one after another."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        super().put(config, {**checkpoint, "channel_values": {}}, metadata, new_versions)
        return super().put(config, checkpoint, metadata, new_versions)


@_mutant("disk.errors")
class HalfDeletionOnFullDisk(Faulty):
    """delete_thread deletes one checkpoint after another."""

    def delete_thread(self, thread_id: str) -> None:
        for key in [key for key in self.model.stored() if key.thread == thread_id]:
            self.write("_drop", [key])


@_mutant("disk.recovers")
class StaysReadOnly(Faulty):
    """After an error of the disk every write raises until the store is opened again."""

    failed = False

    def append(self, journal: Any, record: bytes) -> None:
        if self.failed:
            raise OSError("the store is read-only after an error")
        try:
            super().append(journal, record)
        except OSError:
            self.failed = True
            raise


@_mutant("disk.recovers")
class LocksAfterError(Faulty):
    """After an error of the disk every call waits for a lock that is never released."""

    failed = False

    def append(self, journal: Any, record: bytes) -> None:
        try:
            super().append(journal, record)
        except OSError:
            self.failed = True
            raise

    def catch_up(self) -> None:
        if self.failed:
            raise TimeoutError("the store is locked")
        super().catch_up()


@_mutant("disk.reads")
class WritesToRead(Faulty):
    """get_tuple writes a record of the access, and raises if it cannot be written."""

    def get_tuple(self, config: Any) -> Any:
        self.write("stored")
        return super().get_tuple(config)
