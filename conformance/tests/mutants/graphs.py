"""Faults that only a sequence of operations, or a whole graph, reveals."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


@mutant("machine.operations")
class ForgetsAfterCopy(Faulty):
    """A put after a copy and a deletion is lost."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.state = 0

    def copy_thread(self, *args: Any) -> None:
        self.state = 1
        super().copy_thread(*args)

    def delete_thread(self, thread_id: str) -> None:
        self.state = 2 if self.state == 1 else 0
        super().delete_thread(thread_id)

    def write(self, operation: str, *args: Any, **kwargs: Any) -> None:
        if operation == "put" and self.state == 2:
            self.state = 0
            return
        super().write(operation, *args, **kwargs)


@mutant("machine.operations")
class FourthCheckpoint(Faulty):
    """The fourth checkpoint of a thread deletes its oldest one."""

    def put(self, config: Any, *args: Any) -> Any:
        stored = super().put(config, *args)
        where = config["configurable"]
        thread, ns = str(where["thread_id"]), where.get("checkpoint_ns") or ""
        for old in sorted(self.model.ids(thread, ns))[:-3]:
            self.model._rows.pop((thread, ns, old))  # type: ignore[call-overload]
        return stored


@mutant("machine.mixed")
class CountsPerApi(Faulty):
    """After a put with one API, the other API lists nothing until its own next put."""

    last = "none"

    async def aput(self, *args: Any) -> Any:
        stored = super().put(*args)
        self.last = "async"
        return stored

    def put(self, *args: Any) -> Any:
        self.last = "sync"
        return super().put(*args)

    def list(self, *args: Any, **kwargs: Any) -> Any:
        if self.last != "async":
            yield from super().list(*args, **kwargs)

    async def alist(self, *args: Any, **kwargs: Any) -> Any:
        if self.last != "sync":
            for found in super().list(*args, **kwargs):
                yield found


@mutant("graph.chain")
class ForgetsStep(Faulty):
    """The step is missing from the metadata."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in metadata.items() if k != "step"} | {"step": 0}


@mutant("graph.interrupts", "graph.prune", "graph.copy")
class ForgetsInterrupts(Faulty):
    """Interrupts are not stored."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        kept = [w for w in writes if w[0] != "__interrupt__"]
        super().put_writes(config, kept, task_id, task_path)


@mutant("graph.subgraphs")
class DeepNamespacesCut(Faulty):
    """Namespaces are truncated after 100 characters."""

    def cut(self, config: Any) -> Any:
        where = config["configurable"]
        ns = where.get("checkpoint_ns", "")[:100]
        return {**config, "configurable": {**where, "checkpoint_ns": ns}}

    def put(self, config: Any, *args: Any) -> Any:
        return super().put(self.cut(config), *args)

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().put_writes(self.cut(config), *args, **kwargs)

    def get_tuple(self, config: Any) -> Any:
        return super().get_tuple(self.cut(config))


@mutant("graph.subgraph.persistent")
class ForgetsSubgraphs(Faulty):
    """The first root checkpoint of a run deletes the state of every subgraph."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        if metadata.get("source") == "input" and not config["configurable"].get("checkpoint_ns"):
            for key in [k for k in self.model._rows if k.ns]:
                del self.model._rows[key]
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("graph.failure")
class ForgetsErrors(Faulty):
    """The pending writes of a checkpoint are dropped when it is read again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.read: set[str] = set()

    def changed_tuple(self, found: Any) -> Any:
        identifier = found.checkpoint["id"]
        if identifier in self.read:
            return found._replace(pending_writes=[])
        self.read.add(identifier)
        return found


@mutant("graph.delta")
class DeltaWithoutHistory(Faulty):
    """The history of a channel has its newest write only."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return {k: {**v, "writes": v["writes"][-1:]} for k, v in found.items()}


@mutant("graph.time_travel")
class UpdatesLoseSource(Faulty):
    """A checkpoint that update_state put has the source loop."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        source = "loop" if metadata.get("source") == "update" else metadata.get("source")
        return {**metadata, "source": source}
