"""What a migration reads, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import DeltaChannelHistory

from langgraph.checkpoint.lmdb.models import TaskWrite


class Key(NamedTuple):
    """The place of a checkpoint."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str

    @property
    def config(self) -> RunnableConfig:
        """The config that names the checkpoint."""
        return {"configurable": self._asdict()}


@dataclass(slots=True)
class Record:
    """A checkpoint with its pending writes, as a saver has it."""

    key: Key
    parent: str | None = None
    checkpoint: dict[str, Any] | None = None
    """None: only pending writes are stored."""
    metadata: dict[str, Any] = field(default_factory=dict)
    writes: list[TaskWrite] = field(default_factory=list)
    """Pending writes in the order of their application."""
    history: Mapping[str, DeltaChannelHistory] = field(default_factory=dict)
    """Writes and seed of deleted ancestors, by channel."""


class MigrationProgress(NamedTuple):
    """How far a migration is."""

    threads: int
    """Threads that are complete."""
    checkpoints: int
    """Checkpoints that were compared or copied."""
    total: int | None
    """Checkpoints of the source. None: unknown."""


class Difference(NamedTuple):
    """A part of a checkpoint that differs between the source and the target."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    part: str
    """The part that differs: a channel, the metadata, the parent, the writes of a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """The result of a migration."""

    threads: int
    checkpoints: int
    """Checkpoints that were read from the source."""
    writes: int
    """Pending writes that were read from the source."""
    copied_checkpoints: int
    """Checkpoints that the target did not have, or had with other content."""
    copied_writes: int
    """Pending writes that the target did not have."""
    verified: int
    """Checkpoints that were read from both savers and compared by value."""
    differences: tuple[Difference, ...]
    source_bytes: int | None
    """Bytes of the source on disk. None: unknown."""
    target_bytes: int | None
    """Bytes of the target on disk after the migration. None: unknown."""
    unknown: tuple[str, ...]
    """What the source could not tell, one sentence each."""
    seconds: float

    @property
    def ok(self) -> bool:
        """True if no compared checkpoint differs."""
        return not self.differences

    def __str__(self) -> str:
        lines = [
            f"{self.threads} threads, {self.checkpoints} checkpoints, {self.writes} pending writes",
            (
                f"copied {self.copied_checkpoints} checkpoints and {self.copied_writes} pending "
                f"writes in {self.seconds:.1f} s"
            ),
        ]
        if self.source_bytes and self.target_bytes:
            ratio = self.source_bytes / self.target_bytes
            sizes = f"{_megabytes(self.source_bytes)} before, {_megabytes(self.target_bytes)} after"
            lines.append(
                f"{sizes}: {ratio:.1f} times smaller" if ratio >= 1 else f"{sizes}: larger"
            )
        lines += self.unknown
        if self.verified or self.differences:
            lines.append(
                f"verified {self.verified} checkpoints, {len(self.differences)} differences"
            )
        lines += [
            f"differs: {d.part} (thread_id {d.thread_id!r}, checkpoint_ns {d.checkpoint_ns!r}, "
            f"checkpoint_id {d.checkpoint_id!r})"
            for d in self.differences
        ]
        return "\n".join(lines)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
