"""The types of a benchmark: saver, workload, measurement and result."""

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
    """The saver lacks a method that the workload needs. This is not a failure."""


@dataclass(frozen=True)
class Location:
    """A folder or database for the data of one run of one saver."""

    directory: Path
    dsn: str = ""
    """Connection string of the database; empty for a saver that stores files."""
    baseline: int = 0
    """Bytes of the empty store. An empty PostgreSQL database has some."""


@dataclass(frozen=True)
class Saver:
    """A saver to measure, and how to open it."""

    name: str
    title: str
    probe: str
    """Object that must be importable, as `package.module:name`."""
    distribution: str
    durability: str
    open: Callable[[Location, bool], AbstractContextManager[BaseCheckpointSaver[Any]]]
    """Opens the store. The flag is True if commits must be durable; it is False for filling."""
    open_async: Callable[[Location], AbstractAsyncContextManager[BaseCheckpointSaver[Any]]]
    async_title: str = ""
    persistent: bool = True
    server: bool = False
    on_demand: bool = False
    """True if the saver is measured only when it is named."""

    def title_for(self, api: Api) -> str:
        """Return the name of the class that serves this API."""
        return (self.async_title or self.title) if api == "async" else self.title


@dataclass
class Result:
    """The measurements of one run."""

    metrics: dict[str, float] = field(default_factory=dict)
    """Values in seconds, bytes, or per second."""
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    distributions: dict[str, list[float]] = field(default_factory=dict)
    """Percentiles 1 to 99 of a latency, in seconds."""

    def curve(self, name: str, values: Iterable[float]) -> None:
        """Record a sample of values, one per step."""
        points = [(float(step), value) for step, value in enumerate(values, start=1)]
        self.series[name] = points[:: -max(1, len(points) // _CURVE_POINTS)][::-1]

    def latency(self, name: str, samples: Sequence[float]) -> None:
        """Record the percentiles of a latency in seconds."""
        quantiles = statistics.quantiles(samples, n=100, method="inclusive")
        self.distributions[name] = quantiles
        self.metrics[f"{name}_p50"] = quantiles[49]
        self.metrics[f"{name}_p99"] = quantiles[98]


@dataclass(frozen=True)
class Metric:
    """A column of the results, with its label in the report."""

    name: str
    label: str
    unit: Unit


@dataclass(frozen=True)
class Workload:
    """A named task that is measured with every saver."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    run: Callable[[Bench], Result]
    prepare: Callable[[Bench], None] | None = None
    """Fills the store in a separate process, so that `run` starts with empty caches."""
    api: Api = "sync"
    repeat: int = 1
    timeout: float = 600
    in_quick: bool = True


@dataclass(frozen=True)
class Bench:
    """One measurement: a saver, a location for its data, and the sizes to run at."""

    saver: Saver
    location: Location
    quick: bool
    progress: Callable[[float], None]

    def size(self, full: _T, quick: _T) -> _T:
        """Return the size for a full or a quick run."""
        return quick if self.quick else full

    def open(self, *, durable: bool = True) -> AbstractContextManager[BaseCheckpointSaver[Any]]:
        """Open the store for sync calls."""
        return self.saver.open(self.location, durable)

    def open_async(self) -> AbstractAsyncContextManager[BaseCheckpointSaver[Any]]:
        """Open the store for async calls."""
        return self.saver.open_async(self.location)
