"""Faults in the values of channels."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant, values


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _sorted(v) for k, v in sorted(value.items())}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


@mutant("put.values.nested")
class SortsKeys(Faulty):
    """The keys of dicts are returned sorted."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, _sorted)


@mutant("put.values.nested")
class BytesAsText(Faulty):
    """bytes are returned as str."""

    def changed_tuple(self, found: Any) -> Any:
        def change(value: Any) -> Any:
            if isinstance(value, bytes):
                return value.decode("latin-1")
            if isinstance(value, list):
                return [change(v) for v in value]
            return {k: change(v) for k, v in value.items()} if isinstance(value, dict) else value

        return values(found, change)


@mutant("put.values.text")
class CutsAtNul(Faulty):
    """Text is truncated at the first NUL."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda v: v.partition("\0")[0] if isinstance(v, str) else v)


@mutant("put.values.falsy", "put.absent")
class DropsNone(Faulty):
    """A channel whose value is None is not stored."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in checkpoint["channel_values"].items() if v is not None}
        return {**checkpoint, "channel_values": kept}


@mutant("put.values.falsy")
class DropsEmpty(Faulty):
    """A channel whose value is falsy is not stored."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in checkpoint["channel_values"].items() if v or v is None}
        return {**checkpoint, "channel_values": kept}


@mutant("put.values.falsy")
class LaterNoneDropped(Faulty):
    """A value of None is not stored if the checkpoint has another channel."""

    def changed_checkpoint(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        values = checkpoint["channel_values"]
        kept = {k: v for k, v in values.items() if v is not None or len(values) == 1}
        return {**checkpoint, "channel_values": kept}


@mutant("put.values.numbers")
class WholeFloats(Faulty):
    """A float without a fraction is returned as an int."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda v: int(v) if isinstance(v, float) and v == v // 1 else v)


@mutant("put.values.numbers")
class NanIsNone(Faulty):
    """NaN and infinity are returned as None, as in JSON."""

    def changed_tuple(self, found: Any) -> Any:
        odd = (float("inf"), float("-inf"))
        return values(found, lambda v: None if isinstance(v, float) and (v != v or v in odd) else v)


@mutant("put.values.numbers")
class BoolsAreInts(Faulty):
    """True is returned as 1."""

    def changed_tuple(self, found: Any) -> Any:
        return values(found, lambda v: int(v) if isinstance(v, bool) else v)


@mutant("put.values.large")
class CutsLargeValues(Faulty):
    """Text in a list is truncated after 64 KiB."""

    def changed_tuple(self, found: Any) -> Any:
        def cut(value: Any) -> Any:
            if not isinstance(value, list):
                return value
            return [v[:65536] if isinstance(v, str) else v for v in value]

        return values(found, cut)


@mutant("put.absent")
class AbsentIsNone(Faulty):
    """A channel without a value is returned as None."""

    def changed_tuple(self, found: Any) -> Any:
        every = dict.fromkeys(found.checkpoint["channel_versions"])
        filled = {**every, **found.checkpoint["channel_values"]}
        return found._replace(checkpoint={**found.checkpoint, "channel_values": filled})


@mutant("put.unchanged", "graph.fan_out")
class OnlyNewVersions(Faulty):
    """Only the values of changed channels are stored; the others are lost."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        kept = {k: v for k, v in checkpoint["channel_values"].items() if k in new_versions}
        checkpoint = {**checkpoint, "channel_values": kept}
        return super().put(config, checkpoint, metadata, new_versions)

    def inherited(self, config: Any, channel: str, version: Any) -> dict[str, Any]:
        return {}


class _Shared(Faulty):
    """A saver that stores values by channel and version, as many savers do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.blobs: dict[Any, Any] = {}

    def place(self, thread: Any, ns: str, channel: str, version: Any) -> Any:
        return (str(thread), ns, channel, version)

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        where = config["configurable"]
        for channel, version in new_versions.items():
            if channel in checkpoint["channel_values"]:
                at = self.place(where["thread_id"], where["checkpoint_ns"], channel, version)
                self.keep(at, self.encode(checkpoint["channel_values"][channel]))
        bare = {**checkpoint, "channel_values": {}}
        return super().put(config, bare, metadata, new_versions)

    def keep(self, place: Any, value: Any) -> None:
        self.blobs[place] = value

    def changed_tuple(self, found: Any) -> Any:
        where = found.config["configurable"]
        got = {}
        for channel, version in found.checkpoint["channel_versions"].items():
            at = self.place(where["thread_id"], where["checkpoint_ns"], channel, version)
            if at in self.blobs:
                got[channel] = self.decode(self.blobs[at])
        return found._replace(checkpoint={**found.checkpoint, "channel_values": got})


@mutant("put.fork")
class ForksOverwrite(_Shared):
    """Values are stored by version, and both branches of a fork have the same version."""


@mutant("put.fork")
class ForksKeepFirst(_Shared):
    """Values are stored by version, the first one wins, and both branches have the same version."""

    def keep(self, place: Any, value: Any) -> None:
        self.blobs.setdefault(place, value)


@mutant("delete_thread.leftovers")
class LeaksValues(_Shared):
    """Deleting a thread leaves its channel values behind."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        self.last = getattr(self, "last", 0) + 1
        return self.last


@mutant("runs.leftovers", "prune.leftovers")
class LeaksValuesOfSome(LeaksValues):
    """Deleting a run, or pruning, leaves channel values behind."""

    def delete_thread(self, thread_id: Any) -> None:
        super().delete_thread(thread_id)
        self.blobs = {k: v for k, v in self.blobs.items() if k[0] != str(thread_id)}


@mutant("put.values.keys")
class KeysAsText(Faulty):
    """The keys of a dict come back as text."""

    def changed_tuple(self, found: Any) -> Any:
        return values(
            found, lambda v: {str(k): x for k, x in v.items()} if isinstance(v, dict) else v
        )
