"""Single calls of the saver on one thread."""

from __future__ import annotations

from functools import partial

from benches.measure import elapsed, latencies
from benches.model import Bench, Metric, Result, Workload
from benches.records import ThreadWriter
from benches.text import Writer

_SIZES = {"500b": (500, 1000), "20k": (20_000, 500), "500k": (500_000, 100)}
_QUICK_DIVISOR = 10
_LABELS = {"500b": "0.5 KB", "20k": "20 KB", "500k": "500 KB"}


def _run(bench: Bench) -> Result:
    result = Result()
    with bench.open() as saver:
        for position, (name, (size, count)) in enumerate(_SIZES.items()):
            count //= bench.size(1, _QUICK_DIVISOR)
            prose = Writer(name)
            # Each text is new, so that a saver cannot share it with an earlier one.
            texts = [prose.prose(size) for _ in range(count)]
            thread = ThreadWriter(saver, name)
            thread.put("")
            puts = latencies(partial(thread.put, text) for text in texts)
            gets = latencies([partial(saver.get_tuple, thread.config)] * count)
            result.latency(f"put_{name}", puts)
            result.latency(f"get_{name}", gets)
            bench.progress((position + 1) / len(_SIZES))
        count = 1000 // bench.size(1, _QUICK_DIVISOR)
        thread = ThreadWriter(saver, "writes")
        prose = Writer("writes")
        writes: list[float] = []
        for _ in range(count):
            thread.put("")
            writes.append(elapsed(partial(thread.put_writes, prose.prose(500))))
        result.latency("put_writes", writes)
    return result


WORKLOAD = Workload(
    name="operations",
    title="Single operations",
    metrics=(
        *(
            Metric(f"{operation}_{size}_{quantile}", f"{verb} {label}, {quantile}", "s")
            for operation, verb in (("put", "put"), ("get", "get_tuple"))
            for size, label in _LABELS.items()
            for quantile in ("p50", "p99")
        ),
        Metric("put_writes_p50", "put_writes 0.5 KB, p50", "s"),
        Metric("put_writes_p99", "put_writes 0.5 KB, p99", "s"),
    ),
    run=_run,
)
