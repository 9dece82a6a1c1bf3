"""Faults in list."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


class Listing(Faulty):
    """A saver that selects the listed checkpoints itself, with a hook for a fault in every step."""

    def list(
        self,
        config: Any,
        *,
        filter: Any = None,
        before: Any = None,
        limit: Any = None,
    ) -> Any:
        found = [t for t in super().list(self.base(config)) if self.kept(t, filter, before)]
        yield from self.cut(self.ordered(found), limit)

    def base(self, config: Any) -> Any:
        return config

    def ordered(self, found: list[Any]) -> list[Any]:
        return found

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        return self.older(found, before) and all(
            k in found.metadata and self.equal(found.metadata[k], v)
            for k, v in (wanted or {}).items()
        )

    def older(self, found: Any, before: Any) -> bool:
        bound = before["configurable"].get("checkpoint_id") if before else None
        return not bound or found.checkpoint["id"] < bound

    def equal(self, stored: Any, wanted: Any) -> bool:
        return bool(stored == wanted)

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        return found if limit is None else found[:limit]


@mutant("list.order")
class OldestFirst(Listing):
    """Checkpoints are listed oldest first."""

    def ordered(self, found: list[Any]) -> list[Any]:
        return found[::-1]


@mutant("list.order")
class ListByInsertion(Listing):
    """Checkpoints are listed in reverse order of insertion."""

    def ordered(self, found: list[Any]) -> list[Any]:
        order = list(self.model.stored())
        ids = [k.id for k in order]
        return sorted(found, key=lambda t: -ids.index(t.checkpoint["id"]))


@mutant("list.order.global")
class GroupedByThread(Listing):
    """A list of every thread is grouped by thread."""

    def ordered(self, found: list[Any]) -> list[Any]:
        return sorted(found, key=lambda t: t.config["configurable"]["thread_id"])


@mutant("list.tuples")
class ListWithoutValues(Faulty):
    """Listed tuples have no channel values."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in super().list(*args, **kwargs):
            bare = {**found.checkpoint, "channel_values": {}}
            yield found._replace(checkpoint=bare)


@mutant("list.tuples")
class ListWithoutParents(Faulty):
    """Listed tuples have no parents."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in super().list(*args, **kwargs):
            yield found._replace(parent_config=None)


@mutant("list.thread")
class ListsEveryThread(Listing):
    """A list of one thread returns the checkpoints of every thread."""

    def base(self, config: Any) -> Any:
        return None


@mutant("list.all_namespaces")
class RootOnly(Listing):
    """A config without checkpoint_ns lists the root namespace only."""

    def base(self, config: Any) -> Any:
        if config is None:
            return None
        return {"configurable": {"checkpoint_ns": "", **config["configurable"]}}


@mutant("list.namespace")
class EmptyNamespaceIsNone(Listing):
    """The namespace "" is treated as a missing namespace, so that every namespace is listed."""

    def base(self, config: Any) -> Any:
        where = dict(config["configurable"]) if config else {}
        if config is not None and not where.get("checkpoint_ns"):
            where.pop("checkpoint_ns", None)
            return {"configurable": where}
        return config


@mutant("list.everything")
class NoConfigFails(Faulty):
    """A list without a config raises an error."""

    def list(self, config: Any, **kwargs: Any) -> Any:
        assert config["configurable"]["thread_id"] is not None
        yield from super().list(config, **kwargs)


@mutant("list.everything")
class NoConfigIsEmpty(Faulty):
    """A list without a config is empty."""

    def list(self, config: Any, **kwargs: Any) -> Any:
        if config is not None:
            yield from super().list(config, **kwargs)


@mutant("list.by_id")
class ListIgnoresId(Listing):
    """A list with a checkpoint_id returns the whole thread."""

    def base(self, config: Any) -> Any:
        where = {k: v for k, v in config["configurable"].items() if k != "checkpoint_id"}
        return {"configurable": where}


@mutant("list.limit")
class LimitIgnored(Listing):
    """limit is ignored unless it is zero."""

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        return [] if limit == 0 else found


@mutant("list.limit")
class LimitOffByOne(Listing):
    """limit returns one checkpoint too many."""

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        return found if limit is None else found[: limit + 1] if limit else []


@mutant("list.limit.zero")
class ZeroIsNoLimit(Listing):
    """limit=0 is treated as no limit."""

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        return found[:limit] if limit else found


@mutant("list.before.strict", "list.paging")
class BeforeIncludes(Listing):
    """before includes the checkpoint that it names."""

    def older(self, found: Any, before: Any) -> bool:
        bound = before["configurable"].get("checkpoint_id") if before else None
        return not bound or found.checkpoint["id"] <= bound


@mutant("list.before.strict")
class BeforeIgnored(Listing):
    """before is ignored."""

    def older(self, found: Any, before: Any) -> bool:
        return True


@mutant("list.before.unknown")
class BeforeMustExist(Listing):
    """before with an unknown checkpoint lists nothing."""

    def older(self, found: Any, before: Any) -> bool:
        if before and self.get_tuple(before) is None:
            return False
        return super().older(found, before)


@mutant("list.paging")
class PagesOverlap(Listing):
    """before together with limit includes the checkpoint that it names."""

    def list(self, config: Any, *, before: Any = None, limit: Any = None, **kwargs: Any) -> Any:
        self.both = bool(before and limit)
        yield from super().list(config, before=before, limit=limit, **kwargs)

    def older(self, found: Any, before: Any) -> bool:
        bound = before["configurable"].get("checkpoint_id") if before else None
        return super().older(found, before) or (self.both and found.checkpoint["id"] == bound)


@mutant("list.filter", "list.filter.nested")
class FilterIgnored(Listing):
    """filter is ignored."""

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        return self.older(found, before)


@mutant("list.filter")
class AnyKeyMatches(Listing):
    """A filter matches if one of its keys matches."""

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        return self.older(found, before) and (
            not wanted or any(found.metadata.get(k) == v for k, v in wanted.items())
        )


@mutant("list.filter")
class FilterIsPrefix(Listing):
    """A text in a filter matches every text that starts with it."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return str(stored).startswith(str(wanted))


@mutant("list.filter.limit")
class LimitBeforeFilter(Listing):
    """limit counts the visited checkpoints instead of the matching ones."""

    def list(self, config: Any, *, filter: Any = None, limit: Any = None, **kwargs: Any) -> Any:
        for found in super().list(config, limit=limit, **kwargs):
            if self.kept(found, filter, None):
                yield found


@mutant("list.filter.nested")
class FilterScalarsOnly(Listing):
    """A list or dict as a filter value matches everything."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return isinstance(wanted, (list, dict)) or bool(stored == wanted)


@mutant("list.filter.nested")
class NestedNeverMatches(Listing):
    """A list or dict as a filter value matches nothing."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return not isinstance(wanted, (list, dict)) and bool(stored == wanted)


@mutant("list.filter.none")
class NoneMatchesAll(Listing):
    """None as a filter value is ignored."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return wanted is None or bool(stored == wanted)


@mutant("list.filter.none")
class NoneMatchesNothing(Listing):
    """None as a filter value matches nothing, like = NULL in SQL."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return wanted is not None and bool(stored == wanted)


@mutant("list.filter.subset")
class FilterContains(Listing):
    """A dict in a filter matches a dict that contains it."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        if isinstance(stored, dict) and isinstance(wanted, dict):
            return wanted.items() <= stored.items()
        return bool(stored == wanted)


@mutant("list.filter.any_key")
class KeysAreChecked(Listing):
    """A filter key may have letters and digits only."""

    def list(self, config: Any, *, filter: Any = None, **kwargs: Any) -> Any:
        for key in filter or ():
            if not key.replace("_", "").isalnum():
                raise ValueError(f"bad key {key!r}")
        yield from super().list(config, filter=filter, **kwargs)


@mutant("list.paused.writable")
class PausedHoldsLock(Faulty):
    """list holds the lock of the store until the list ends."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        import threading

        self.gate = threading.Lock()

    def list(self, *args: Any, **kwargs: Any) -> Any:
        with self.gate:
            yield from super().list(*args, **kwargs)

    def write(self, *args: Any, **kwargs: Any) -> None:
        with self.gate:
            super().write(*args, **kwargs)


@mutant("list.dropped")
class DroppedKeepsLock(Faulty):
    """A list that was not consumed to its end blocks later writes."""

    open_lists = 0

    def list(self, *args: Any, **kwargs: Any) -> Any:
        self.open_lists += 1
        yield from super().list(*args, **kwargs)
        self.open_lists -= 1

    def put(self, *args: Any) -> Any:
        if self.open_lists:
            raise RuntimeError("database is locked")
        return super().put(*args)


@mutant("list.paused.whole")
class TornPause(Faulty):
    """list reads the values of each checkpoint late, when they may be deleted."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in [*super().list(*args, **kwargs)]:
            now = self.get_tuple(found.config)
            kept = now.checkpoint["channel_values"] if now else {}
            yield found._replace(checkpoint={**found.checkpoint, "channel_values": kept})


@mutant("list.other_thread")
class ThreadBound(Faulty):
    """A list can be consumed only in the thread that started it."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        import threading

        owner = threading.get_ident()
        for found in super().list(*args, **kwargs):
            if threading.get_ident() != owner:
                raise RuntimeError("this iterator belongs to another thread")
            yield found
            if threading.get_ident() != owner:
                raise RuntimeError("this iterator belongs to another thread")


@mutant("list.paused.both_apis")
class AlistHoldsLock(Faulty):
    """A paused alist holds the lock of the sync API."""

    async def alist(self, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            for found in super().list(*args, **kwargs):
                yield found
