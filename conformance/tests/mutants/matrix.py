"""Faults of list that need a combination of arguments, and faults in the fields that order it."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant
from mutants.listing import Listing


@mutant("list.matrix")
class BeforeIgnoredWithFilter(Listing):
    """before is ignored if there is a filter."""

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        return super().kept(found, wanted, None if wanted else before)


@mutant("list.matrix")
class LimitIgnoredWithFilterAndBefore(Listing):
    """limit is ignored if there are a filter and a before."""

    def list(self, config: Any, *, filter: Any = None, before: Any = None, **more: Any) -> Any:
        if filter and before:
            more.pop("limit", None)
        yield from super().list(config, filter=filter, before=before, **more)


@mutant("list.matrix")
class LimitOfEachNamespace(Listing):
    """limit counts the checkpoints of each namespace."""

    def cut(self, found: list[Any], limit: Any) -> list[Any]:
        kept: dict[Any, list[Any]] = {}
        for item in found:
            kept.setdefault(item.config["configurable"]["checkpoint_ns"], []).append(item)
        return [item for group in kept.values() for item in group[:limit]]


@mutant("list.matrix")
class BeforeSelectsThread(Listing):
    """before of another thread excludes nothing."""

    def older(self, found: Any, before: Any) -> bool:
        where = found.config["configurable"]
        same = before and before["configurable"]["thread_id"] == where["thread_id"]
        return super().older(found, before if same else None)


@mutant("list.matrix")
class IdNeedsNamespace(Listing):
    """A config with a checkpoint id and without a namespace lists the root namespace only."""

    def base(self, config: Any) -> Any:
        if config and config["configurable"].get("checkpoint_id"):
            return {"configurable": {"checkpoint_ns": "", **config["configurable"]}}
        return config


@mutant("list.matrix")
class FilterComparesText(Listing):
    """Values in a filter are compared as text, so that 1 equals "1"."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return str(stored) == str(wanted)


@mutant("list.filter.subset")
class FilterSearchesLists(Listing):
    """A text in a filter matches a list that contains it."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return bool(stored == wanted or (isinstance(stored, list) and wanted in stored))


@mutant("list.matrix")
class FalsyFiltersIgnored(Listing):
    """Falsy values in a filter match everything."""

    def equal(self, stored: Any, wanted: Any) -> bool:
        return bool(not wanted or stored == wanted)


@mutant("list.matrix")
class FirstFilterOnly(Listing):
    """Only the first key of a filter is compared if the second key is missing."""

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        known = {k: v for k, v in (wanted or {}).items() if k in found.metadata}
        return super().kept(found, known or wanted, before)


@mutant("list.matrix")
class AsyncIgnoresBeforeWithLimit(Faulty):
    """alist ignores before if there is a limit."""

    async def alist(self, config: Any, **narrowing: Any) -> Any:
        if narrowing.get("limit"):
            narrowing.pop("before", None)
        for found in super().list(config, **narrowing):
            yield found


@mutant("list.matrix.paging")
class PagesCountFiltered(Faulty):
    """A filtered page that starts before a checkpoint counts checkpoints that do not match."""

    def list(self, config: Any, *, filter: Any = None, before: Any = None, **more: Any) -> Any:
        if not before:
            yield from super().list(config, filter=filter, **more)
            return
        for found in super().list(config, before=before, **more):
            if all(found.metadata.get(k) == v for k, v in (filter or {}).items()):
                yield found


@mutant("list.matrix.paging")
class LaterPagesWithoutWrites(Faulty):
    """A page that starts before a checkpoint has no pending writes."""

    def list(self, config: Any, *, before: Any = None, **more: Any) -> Any:
        for found in super().list(config, before=before, **more):
            yield found._replace(pending_writes=[]) if before else found


@mutant("list.filter.missing")
class MissingIsNotNone(Listing):
    """A filter value of None does not match checkpoints without the key."""

    def kept(self, found: Any, wanted: Any, before: Any) -> bool:
        return super().kept(found, wanted, before) and all(
            k in found.metadata for k in wanted or ()
        )


class _Sorted(Faulty):
    """A saver that orders checkpoints by another key than their ids."""

    def key(self, found: Any) -> Any:
        raise NotImplementedError

    def list(self, config: Any, **narrowing: Any) -> Any:
        yield from sorted(super().list(config, **narrowing), key=self.key, reverse=True)


@mutant("order.by_id")
class ListByTimestamp(_Sorted):
    """Checkpoints are listed by their timestamp."""

    def key(self, found: Any) -> Any:
        return found.checkpoint["ts"]


@mutant("order.by_id")
class ListByStep(_Sorted):
    """Checkpoints are listed by their step."""

    def key(self, found: Any) -> Any:
        return found.metadata["step"]


class _Latest(Faulty):
    """A saver whose latest checkpoint is not the one with the greatest id."""

    def latest(self, config: Any) -> Any:
        raise NotImplementedError

    def get_tuple(self, config: Any) -> Any:
        if config["configurable"].get("checkpoint_id"):
            return super().get_tuple(config)
        where = {"checkpoint_ns": "", **config["configurable"]}
        return max(super().list({"configurable": where}), key=self.latest, default=None)


@mutant("order.by_id")
class LatestByTimestamp(_Latest):
    """The latest checkpoint is the one with the greatest timestamp."""

    def latest(self, found: Any) -> Any:
        return found.checkpoint["ts"]


@mutant("order.by_id")
class LatestByStep(_Latest):
    """The latest checkpoint is the one with the greatest step."""

    def latest(self, found: Any) -> Any:
        return found.metadata["step"]


@mutant("order.by_id")
class WriteMakesLatest(_Latest):
    """The latest checkpoint is the one with the most writes."""

    def latest(self, found: Any) -> Any:
        return len(found.pending_writes)


@mutant("order.by_id")
class PruneKeepsLatestStep(Faulty):
    """prune keeps the checkpoint with the greatest step."""

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        for key, row in [*self.model._rows.items()]:
            newest = max(r.metadata.get("step", 0) for r in self.model._rows.values())
            if key.thread in thread_ids and row.metadata.get("step", 0) < newest:
                self.model._drop([key])


@mutant("order.as_text")
class ShorterIdsFirst(_Sorted):
    """Ids are ordered by length, then as text."""

    def key(self, found: Any) -> Any:
        return len(found.checkpoint["id"]), found.checkpoint["id"]


@mutant("order.as_text")
class LatestByNumber(_Latest):
    """Ids that are numbers are compared as numbers."""

    def latest(self, found: Any) -> Any:
        text = found.checkpoint["id"]
        return (1, int(text), "") if text.isdigit() else (0, 0, text)


@mutant("fields.unchanged")
class NewestFormat(Faulty):
    """v is always the newest version."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return {**checkpoint, "v": 4}


@mutant("fields.unchanged")
class KnownFieldsOnly(Faulty):
    """Unknown fields of a checkpoint are not stored."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        known = ("v", "id", "ts", "channel_values", "channel_versions", "versions_seen")
        return {k: v for k, v in checkpoint.items() if k in (*known, "updated_channels")}


@mutant("fields.unchanged")
class EmptyEntriesDropped(Faulty):
    """Empty entries of versions_seen are not stored."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        seen = {
            node: versions for node, versions in checkpoint["versions_seen"].items() if versions
        }
        return {**checkpoint, "versions_seen": seen}


@mutant("fields.unchanged")
class EmptyUpdatesAreNone(Faulty):
    """An empty updated_channels becomes None."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        return {**checkpoint, "updated_channels": checkpoint["updated_channels"] or None}


@mutant("fields.unchanged")
class SortedUpdates(Faulty):
    """updated_channels are sorted."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        updated = checkpoint["updated_channels"]
        return {**checkpoint, "updated_channels": updated and sorted(updated)}


@mutant("metadata.keys")
class DotsAreNesting(Faulty):
    """A metadata key with a dot becomes a nested entry."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {key.replace(".", "_"): value for key, value in metadata.items()}


@mutant("metadata.keys")
class LowerCaseKeys(Faulty):
    """Metadata keys are stored in lower case."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {key.lower(): value for key, value in metadata.items()}


@mutant("metadata.keys")
class EmptyMetadataDropped(Faulty):
    """Metadata entries that are empty containers are not stored."""

    def changed_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in metadata.items() if value not in ([], {})}
