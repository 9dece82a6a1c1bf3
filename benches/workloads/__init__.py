"""All workloads, in the order of the report."""

from __future__ import annotations

from benches.workloads import (
    chat,
    conversations,
    delta,
    document,
    files,
    forks,
    history,
    many,
    operations,
    scale,
    superstep,
    sweep,
    threads,
)

WORKLOADS = {
    workload.name: workload
    for workload in (
        *chat.WORKLOADS,
        *history.WORKLOADS,
        *forks.WORKLOADS,
        files.WORKLOAD,
        document.WORKLOAD,
        delta.WORKLOAD,
        superstep.WORKLOAD,
        operations.WORKLOAD,
        many.WORKLOAD,
        threads.WORKLOAD,
        conversations.WORKLOAD,
        sweep.WORKLOAD,
        *scale.WORKLOADS,
    )
}
