"""Faults that only a sequence of operations, or a whole graph, brings to light."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


@mutant("machine.operations")
class ForgetsAfterCopy(Faulty):
    """A put that follows a copy and a deletion is lost."""

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
    """The fourth checkpoint of a thread drops its oldest one."""

    def put(self, config: Any, *args: Any) -> Any:
        stored = super().put(config, *args)
        where = config["configurable"]
        thread, ns = str(where["thread_id"]), where.get("checkpoint_ns") or ""
        for old in sorted(self.model.ids(thread, ns))[:-3]:
            self.model._rows.pop((thread, ns, old))  # type: ignore[call-overload]
        return stored


@mutant("machine.mixed")
class CountsPerFace(Faulty):
    """After a put on one face, the other one lists nothing until it has put something itself."""

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
    """Metadata without the step."""

    def told(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in metadata.items() if k != "step"} | {"step": 0}


@mutant("graph.interrupts", "graph.prune", "graph.copy")
class ForgetsInterrupts(Faulty):
    """Interrupts are not stored."""

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        kept = [w for w in writes if w[0] != "__interrupt__"]
        super().put_writes(config, kept, task_id, task_path)


@mutant("graph.subgraphs")
class DeepNamespacesCut(Faulty):
    """Namespaces are cut after 100 characters."""

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
    """A new root checkpoint of a new run deletes the state of every subgraph."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        if metadata.get("source") == "input" and not config["configurable"].get("checkpoint_ns"):
            for key in [k for k in self.model._rows if k.ns]:
                del self.model._rows[key]
        return super().put(config, checkpoint, metadata, new_versions)


@mutant("graph.failure")
class ForgetsErrors(Faulty):
    """Pending writes of a checkpoint are dropped when it is read a second time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.read: set[str] = set()

    def seen(self, found: Any) -> Any:
        identifier = found.checkpoint["id"]
        if identifier in self.read:
            return found._replace(pending_writes=[])
        self.read.add(identifier)
        return found


@mutant("graph.delta")
class DeltaWithoutHistory(Faulty):
    """The history of a channel has its newest write alone."""

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        found = super().get_delta_channel_history(config=config, channels=channels)
        return {k: {**v, "writes": v["writes"][-1:]} for k, v in found.items()}


@mutant("graph.time_travel")
class UpdatesLoseSource(Faulty):
    """A checkpoint that update_state made says it came from the loop."""

    def told(self, metadata: dict[str, Any]) -> dict[str, Any]:
        source = "loop" if metadata.get("source") == "update" else metadata.get("source")
        return {**metadata, "source": source}
