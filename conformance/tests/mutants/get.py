"""Faults in get_tuple and get."""

from __future__ import annotations

import copy
from typing import Any

from mutants.base import Faulty, mutant, values


@mutant("spec.opens")
class NotEmpty(Faulty):
    """A new store already has a checkpoint."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        checkpoint = {"v": 4, "id": "0", "ts": "", "channel_values": {}, "channel_versions": {}}
        checkpoint |= {"versions_seen": {}, "updated_channels": None}
        config = {"configurable": {"thread_id": "thread", "checkpoint_ns": ""}}
        self.put(config, checkpoint, {}, {})


@mutant("latest.by_id")
class LatestByInsertion(Faulty):
    """The latest checkpoint is the last one that was put."""

    def get_tuple(self, config: Any) -> Any:
        where = config["configurable"]
        ids = self.model.ids(str(where["thread_id"]), where.get("checkpoint_ns") or "")
        if where.get("checkpoint_id") or not ids:
            return super().get_tuple(config)
        return super().get_tuple({"configurable": {**where, "checkpoint_id": ids[-1]}})


@mutant("latest.by_id", "graph.chain")
class OldestIsLatest(Faulty):
    """The latest checkpoint is the one with the smallest id."""

    def get_tuple(self, config: Any) -> Any:
        where = config["configurable"]
        ids = self.model.ids(str(where["thread_id"]), where.get("checkpoint_ns") or "")
        if where.get("checkpoint_id") or not ids:
            return super().get_tuple(config)
        return super().get_tuple({"configurable": {**where, "checkpoint_id": min(ids)}})


@mutant("get.by_id", "graph.time_travel")
class IgnoresId(Faulty):
    """get_tuple always returns the latest checkpoint and ignores the id."""

    def get_tuple(self, config: Any) -> Any:
        where = {k: v for k, v in config["configurable"].items() if k != "checkpoint_id"}
        return super().get_tuple({"configurable": where})


@mutant("get.by_id")
class FallsBack(Faulty):
    """An unknown id returns the latest checkpoint instead of None."""

    def get_tuple(self, config: Any) -> Any:
        where = {k: v for k, v in config["configurable"].items() if k != "checkpoint_id"}
        return super().get_tuple(config) or super().get_tuple({"configurable": where})


@mutant("get.unknown")
class UnknownRaises(Faulty):
    """An unknown thread raises KeyError instead of returning None."""

    def get_tuple(self, config: Any) -> Any:
        found = super().get_tuple(config)
        if found is None:
            raise KeyError(config["configurable"]["thread_id"])
        return found


@mutant("get.config")
class ConfigWithoutId(Faulty):
    """The config of a tuple does not name its checkpoint."""

    def changed_tuple(self, found: Any) -> Any:
        where = {k: v for k, v in found.config["configurable"].items() if k != "checkpoint_id"}
        return found._replace(config={"configurable": where})


@mutant("get.config")
class ConfigWithoutNamespace(Faulty):
    """The config of a tuple always has the root namespace."""

    def changed_tuple(self, found: Any) -> Any:
        where = {**found.config["configurable"], "checkpoint_ns": ""}
        return found._replace(config={"configurable": where})


@mutant("get.parent")
class NoParent(Faulty):
    """No checkpoint has a parent."""

    def changed_tuple(self, found: Any) -> Any:
        return found._replace(parent_config=None)


@mutant("get.parent")
class ParentIsPrevious(Faulty):
    """The parent is the previous checkpoint by id, not the one in the config of put."""

    def changed_tuple(self, found: Any) -> Any:
        where = found.config["configurable"]
        ids = self.model.ids(where["thread_id"], where["checkpoint_ns"])
        older = max((i for i in ids if i < where["checkpoint_id"]), default=None)
        parent = None if older is None else {"configurable": {**where, "checkpoint_id": older}}
        return found._replace(parent_config=parent)


@mutant("get.checkpoint")
class GetReturnsTuple(Faulty):
    """get returns the whole tuple."""

    def get(self, config: Any) -> Any:
        return self.get_tuple(config)


@mutant("get.isolated")
class SharedValues(Faulty):
    """Tuples are cached and shared between readers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cache: dict[Any, Any] = {}

    def changed_tuple(self, found: Any) -> Any:
        where = found.config["configurable"]
        kept = self.cache.setdefault((where["thread_id"], where["checkpoint_id"]), found)
        return found._replace(checkpoint=kept.checkpoint)


@mutant("get.isolated")
class SharedWithoutWrites(Faulty):
    """Tuples without pending writes are cached and shared between readers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cache: dict[str, Any] = {}

    def changed_tuple(self, found: Any) -> Any:
        if found.pending_writes:
            return found
        return self.cache.setdefault(str(found.config), found)


@mutant("get.isolated")
class SharedMetadata(Faulty):
    """Metadata is returned as the stored object itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: dict[Any, Any] = {}

    def changed_tuple(self, found: Any) -> Any:
        where = found.config["configurable"]
        key = (where["thread_id"], where["checkpoint_ns"], where["checkpoint_id"])
        kept = self.kept.setdefault(key, found.metadata)
        return found._replace(metadata=kept)


@mutant("identity.namespace", "graph.subgraphs")
class OneNamespace(Faulty):
    """Namespaces are ignored."""

    def changed_tuple(self, found: Any) -> Any:
        return found

    def flat(self, config: Any) -> Any:
        if config is None:
            return None
        return {**config, "configurable": {**config["configurable"], "checkpoint_ns": ""}}

    def get_tuple(self, config: Any) -> Any:
        return super().get_tuple(self.flat(config))

    def put(self, config: Any, *args: Any) -> Any:
        return super().put(self.flat(config), *args)

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().put_writes(self.flat(config), *args, **kwargs)


@mutant("identity.namespace")
class MissingNamespaceIsNone(Faulty):
    """A config without checkpoint_ns reads a namespace called None."""

    def get_tuple(self, config: Any) -> Any:
        where = {"checkpoint_ns": "None", **config["configurable"]}
        return super().get_tuple({"configurable": where})


@mutant("identity.namespace.deep")
class ShortNamespaces(Faulty):
    """Namespaces of more than 255 characters are rejected."""

    def put(self, config: Any, *args: Any) -> Any:
        if len(config["configurable"].get("checkpoint_ns", "")) > 255:
            raise ValueError("the namespace is too long")
        return super().put(config, *args)


class _Joined(Faulty):
    def joined(self, config: Any) -> Any:
        where = config["configurable"]
        thread = f"{where['thread_id']}:{where.get('checkpoint_ns', '')}"
        return {**config, "configurable": {**where, "thread_id": thread, "checkpoint_ns": ""}}

    def get_tuple(self, config: Any) -> Any:
        return super().get_tuple(self.joined(config))

    def put(self, config: Any, *args: Any) -> Any:
        return super().put(self.joined(config), *args)

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().put_writes(self.joined(config), *args, **kwargs)


@mutant("identity.thread")
class JoinedIds(_Joined):
    """Thread and namespace are joined by a colon, so that some of them collide."""

    def changed_tuple(self, found: Any) -> Any:
        return found


@mutant("identity.thread")
class ThreadPrefix(Faulty):
    """list treats a thread id as a prefix."""

    def list(self, config: Any, **narrowing: Any) -> Any:
        for found in super().list(None, **narrowing):
            where = found.config["configurable"]
            wanted = config["configurable"] if config else {}
            if not where["thread_id"].startswith(str(wanted.get("thread_id", ""))):
                continue
            if wanted.get("checkpoint_ns") in (None, where["checkpoint_ns"]):
                yield found


@mutant("identity.unicode")
class AsciiIds(Faulty):
    """Ids are encoded in ASCII, and other characters are replaced."""

    def put(self, config: Any, *args: Any) -> Any:
        where = config["configurable"]
        name = str(where["thread_id"]).encode("ascii", "replace").decode()
        return super().put({**config, "configurable": {**where, "thread_id": name}}, *args)


@mutant("identity.thread.any_text")
class NoPunctuation(Faulty):
    """Thread ids with a slash or a dot are rejected."""

    def put(self, config: Any, *args: Any) -> Any:
        if set("/.") & set(str(config["configurable"]["thread_id"])):
            raise ValueError("a thread id must not contain / or .")
        return super().put(config, *args)


@mutant("identity.unbounded")
class ShortIds(Faulty):
    """Thread ids are truncated after 500 characters."""

    def put(self, config: Any, *args: Any) -> Any:
        where = config["configurable"]
        name = str(where["thread_id"])[:500]
        return super().put({**config, "configurable": {**where, "thread_id": name}}, *args)


@mutant("identity.thread.number")
class NumbersApart(Faulty):
    """The threads 123 and "123" are different."""

    def put(self, config: Any, *args: Any) -> Any:
        where = config["configurable"]
        name = repr(where["thread_id"]) if isinstance(where["thread_id"], int) else None
        if name:
            config = {**config, "configurable": {**where, "thread_id": f"int {name}"}}
        return super().put(config, *args)


@mutant("put.values.rich")
class DatesAsText(Faulty):
    """Dates are returned as text."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda v: v.isoformat() if hasattr(v, "isoformat") else v)


@mutant("serde.load_error")
class SilentNone(Faulty):
    """A value that cannot be deserialized becomes None."""

    def decode(self, value: Any) -> Any:
        try:
            return super().decode(value)
        except ValueError:
            return None


@mutant("serde.custom")
class OwnSerde(Faulty):
    """Values use LangGraph's serializer instead of the given one."""

    def __init__(self, *args: Any, serde: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


@mutant("allowlist.strict")
class AllowsEverything(Faulty):
    """A strict serializer is replaced by one that deserializes any class."""

    def decode(self, value: Any) -> Any:
        from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

        if value[0] == "msgpack":
            return JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(value)
        return super().decode(value)


@mutant("allowlist.clone")
class CloneChangesOriginal(Faulty):
    """with_allowlist changes the serializer of the original saver."""

    def with_allowlist(self, extra_allowlist: Any) -> Any:
        clone = super().with_allowlist(extra_allowlist)
        self.serde = clone.serde
        return clone


@mutant("allowlist.clone")
class CloneIsEmpty(Faulty):
    """with_allowlist returns a saver with its own store."""

    def with_allowlist(self, extra_allowlist: Any) -> Any:
        return type(self)(serde=super().with_allowlist(extra_allowlist).serde)


@mutant("allowlist.clone.shared")
class CloneOfMoment(Faulty):
    """with_allowlist returns a saver with a copy of the store."""

    def with_allowlist(self, extra_allowlist: Any) -> Any:
        clone = super().with_allowlist(extra_allowlist)
        clone.model = copy.deepcopy(self.model)
        return clone
