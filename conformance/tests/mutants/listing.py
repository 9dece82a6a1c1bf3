"""Faults in list."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


class _Listing(Faulty):
    """Narrows a list down by itself, with a place for a fault in every step."""

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
class OldestFirst(_Listing):
    """Checkpoints come oldest first."""

    def ordered(self, found: list[Any]) -> list[Any]:
        return found[::-1]


@mutant("list.order")
class ListByInsertion(_Listing):
    """Checkpoints come in the order in which they were put, newest first."""

    def ordered(self, found: list[Any]) -> list[Any]:
        order = list(self.model.stored())
        ids = [k.id for k in order]
        return sorted(found, key=lambda t: -ids.index(t.checkpoint["id"]))


@mutant("list.order.global")
class GroupedByThread(_Listing):
    """A list of everything comes thread by thread."""

    def ordered(self, found: list[Any]) -> list[Any]:
        return sorted(found, key=lambda t: t.config["configurable"]["thread_id"])


@mutant("list.tuples")
class ListWithoutValues(Faulty):
    """Tuples of a list have no channel values."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in super().list(*args, **kwargs):
            bare = {**found.checkpoint, "channel_values": {}}
            yield found._replace(checkpoint=bare)


@mutant("list.tuples")
class ListWithoutParents(Faulty):
    """Tuples of a list have no parents."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in super().list(*args, **kwargs):
            yield found._replace(parent_config=None)


@mutant("list.thread")
class ListsEveryThread(_Listing):
    """A list of a thread has the checkpoints of every thread."""

    def base(self, config: Any) -> Any:
        return None


@mutant("list.all_namespaces")
class RootOnly(_Listing):
    """A config without checkpoint_ns lists the root namespace alone."""

    def base(self, config: Any) -> Any:
        if config is None:
            return None
        return {"configurable": {"checkpoint_ns": "", **config["configurable"]}}


@mutant("list.namespace")
class EmptyNamespaceIsNone(_Listing):
    """The namespace "" is taken for no namespace at all, so that every one is listed."""

    def base(self, config: Any) -> Any:
        where = dict(config["configurable"]) if config else {}
        if config is not None and not where.get("checkpoint_ns"):
            where.pop("checkpoint_ns", None)
            return {"configurable": where}
        return config


@mutant("list.everything")
class NoConfigFails(Faulty):
    """A list without a config fails."""

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
class ListIgnoresId(_Listing):
    """A list whose config names a checkpoint has the whole thread."""

    def base(self, config: Any) -> Any:
        where = {k: v for k, v in config["configurable"].items() if k != "checkpoint_id"}
        return {"configurable": where}


@mutant("list.limit")
class LimitIgnored(_Listing):
    """limit is ignored unless it is zero."""

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        return [] if limit == 0 else found


@mutant("list.limit")
class LimitOffByOne(_Listing):
    """limit returns one checkpoint more."""

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        return found if limit is None else found[: limit + 1] if limit else []


@mutant("list.limit.zero")
class ZeroIsNoLimit(_Listing):
    """limit=0 is taken for no limit."""

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        return found[:limit] if limit else found


@mutant("list.before.strict", "list.paging")
class BeforeIncludes(_Listing):
    """before includes the checkpoint that it names."""

    def older(self, found: Any, before: Any) -> bool:
        bound = before["configurable"].get("checkpoint_id") if before else None
        return not bound or found.checkpoint["id"] <= bound


@mutant("list.before.strict")
class BeforeIgnored(_Listing):
    """before is ignored."""

    def older(self, found: Any, before: Any) -> bool:
        return True


@mutant("list.before.unknown")
class BeforeMustExist(_Listing):
    """before with a checkpoint that is not there lists nothing."""

    def older(self, found: Any, before: Any) -> bool:
        if before and self.get_tuple(before) is None:
            return False
        return super().older(found, before)


@mutant("list.paging")
class PagesOverlap(_Listing):
    """With before and limit together, before includes the checkpoint that it names."""

    def list(self, config: Any, *, before: Any = None, limit: Any = None, **kwargs: Any) -> Any:
        self.both = bool(before and limit)
        yield from super().list(config, before=before, limit=limit, **kwargs)

    def older(self, found: Any, before: Any) -> bool:
        bound = before["configurable"].get("checkpoint_id") if before else None
        return super().older(found, before) or (self.both and found.checkpoint["id"] == bound)


@mutant("list.filter", "list.filter.nested")
class FilterIgnored(_Listing):
    """filter is ignored."""

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        return self.older(found, before)


@mutant("list.filter")
class AnyKeyMatches(_Listing):
    """A filter returns what matches one of its keys."""

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        return self.older(found, before) and (
            not wanted or any(found.metadata.get(k) == v for k, v in wanted.items())
        )


@mutant("list.filter")
class FilterIsPrefix(_Listing):
    """A filter's text matches what begins with it."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return str(stored).startswith(str(wanted))


@mutant("list.filter.limit")
class LimitBeforeFilter(_Listing):
    """limit counts the checkpoints that were looked at, not those that match."""

    def list(self, config: Any, *, filter: Any = None, limit: Any = None, **kwargs: Any) -> Any:
        for found in super().list(config, limit=limit, **kwargs):
            if self.kept(found, filter, None):
                yield found


@mutant("list.filter.nested")
class FilterScalarsOnly(_Listing):
    """A filter whose value is a list or a dict matches everything."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return isinstance(wanted, (list, dict)) or bool(stored == wanted)


@mutant("list.filter.nested")
class NestedNeverMatches(_Listing):
    """A filter whose value is a list or a dict matches nothing."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return not isinstance(wanted, (list, dict)) and bool(stored == wanted)


@mutant("list.filter.none")
class NoneMatchesAll(_Listing):
    """A filter whose value is None is left out."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return wanted is None or bool(stored == wanted)


@mutant("list.filter.none")
class NoneMatchesNothing(_Listing):
    """A filter whose value is None matches nothing, as = NULL does."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return wanted is not None and bool(stored == wanted)


@mutant("list.filter.subset")
class FilterContains(_Listing):
    """A dict in a filter matches a dict that contains it."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        if isinstance(stored, dict) and isinstance(wanted, dict):
            return wanted.items() <= stored.items()
        return bool(stored == wanted)


@mutant("list.filter.any_key")
class KeysAreChecked(_Listing):
    """A filter's key may have letters and digits alone."""

    def list(self, config: Any, *, filter: Any = None, **kwargs: Any) -> Any:
        for key in filter or ():
            if not key.replace("_", "").isalnum():
                raise ValueError(f"bad key {key!r}")
        yield from super().list(config, filter=filter, **kwargs)


@mutant("list.paused.writable")
class PausedHoldsLock(Faulty):
    """list holds the store's lock until it is drawn to its end."""

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
    """A list that was begun and not drawn to its end blocks whoever writes afterwards."""

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
    """list looks up values when it is drawn from, and finds them gone."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        for found in [*super().list(*args, **kwargs)]:
            now = self.get_tuple(found.config)
            kept = now.checkpoint["channel_values"] if now else {}
            yield found._replace(checkpoint={**found.checkpoint, "channel_values": kept})


@mutant("list.other_thread")
class ThreadBound(Faulty):
    """A list can only be drawn from in the thread that began it."""

    def list(self, *args: Any, **kwargs: Any) -> Any:
        import threading

        owner = threading.get_ident()
        for found in super().list(*args, **kwargs):
            if threading.get_ident() != owner:
                raise RuntimeError("this iterator belongs to another thread")
            yield found
            if threading.get_ident() != owner:
                raise RuntimeError("this iterator belongs to another thread")
