"""What a workload is, what it is given, and what it hands back."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver

_T = TypeVar("_T")

_CURVE_POINTS = 60

Api = Literal["sync", "async"]
Unit = Literal["s", "B", "1/s"]


class UnsupportedError(Exception):
    """The saver lacks what the workload needs: reported as such, not as a failure."""


@dataclass(frozen=True)
class Location:
    """Where one saver keeps one run's data."""

    directory: Path
    dsn: str = ""
    baseline: int = 0
    """Allocated bytes before anything is stored: an empty PostgreSQL database has some."""


@dataclass(frozen=True)
class Saver:
    name: str
    title: str
    probe: str
    """What has to be importable, as `package.module:name`."""
    distribution: str
    durability: str
    open: Callable[[Location, bool], AbstractContextManager[BaseCheckpointSaver[Any]]]
    """Open the store; the flag says whether commits must be durable (not so while filling)."""
    open_async: Callable[[Location], AbstractAsyncContextManager[BaseCheckpointSaver[Any]]]
    async_title: str = ""
    persistent: bool = True
    server: bool = False
    on_demand: bool = False
    """Whether it is left out unless named."""

    def title_for(self, api: Api) -> str:
        return (self.async_title or self.title) if api == "async" else self.title


@dataclass
class Result:
    metrics: dict[str, float] = field(default_factory=dict)
    """In seconds, bytes, or per second."""
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    distributions: dict[str, list[float]] = field(default_factory=dict)
    """The 1st to the 99th percentile of a latency."""

    def curve(self, name: str, values: Iterable[float]) -> None:
        """Keep some of the values that came one a step."""
        points = [(float(step), value) for step, value in enumerate(values, start=1)]
        self.series[name] = points[:: -max(1, len(points) // _CURVE_POINTS)][::-1]

    def latency(self, name: str, samples: Sequence[float]) -> None:
        quantiles = statistics.quantiles(samples, n=100, method="inclusive")
        self.distributions[name] = quantiles
        self.metrics[f"{name}_p50"] = quantiles[49]
        self.metrics[f"{name}_p99"] = quantiles[98]


@dataclass(frozen=True)
class Metric:
    name: str
    label: str
    unit: Unit


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    metrics: tuple[Metric, ...]
    run: Callable[[Bench], Result]
    prepare: Callable[[Bench], None] | None = None
    """Fills the store in a process of its own, so that `run` starts with nothing cached."""
    api: Api = "sync"
    repeat: int = 1
    timeout: float = 600
    in_quick: bool = True


@dataclass(frozen=True)
class Bench:
    """One measurement: a saver, a place for its data, and the sizes to run at."""

    saver: Saver
    location: Location
    quick: bool
    progress: Callable[[float], None]

    def size(self, full: _T, quick: _T) -> _T:
        return quick if self.quick else full

    def open(self, *, durable: bool = True) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
        return self.saver.open(self.location, durable)

    def open_async(self) -> AbstractAsyncContextManager[BaseCheckpointSaver[Any]]:
        return self.saver.open_async(self.location)
