"""Faults in the treatment of ids: a function folds different ids into one.

A table of mutants: the folded part of the key, the function, the methods that apply it, and the
clauses that must find it.
"""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from mutants.base import Faulty, mutant

if TYPE_CHECKING:
    from collections.abc import Callable


class _Folded(Faulty):
    """A saver that folds one part of the key in some of its methods."""

    part: str
    methods: tuple[str, ...]

    @staticmethod
    def fold(text: str) -> str:
        raise NotImplementedError

    def folded(self, method: str, part: str, value: Any) -> Any:
        chosen = part == self.part and (not self.methods or method in self.methods)
        return self.fold(value) if chosen and isinstance(value, str) else value

    def located(self, method: str, config: Any) -> Any:
        where = {
            name: self.folded(method, name, value)
            for name, value in (config or {"configurable": {}})["configurable"].items()
        }
        return config and {**config, "configurable": where}

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        values = {
            self.folded("put", "channel", k): v for k, v in checkpoint["channel_values"].items()
        }
        identifier = self.folded("put", "checkpoint_id", checkpoint["id"])
        stored = {**checkpoint, "id": identifier, "channel_values": values}
        return super().put(self.located("put", config), stored, metadata, new_versions)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        fold = partial(self.folded, "put_writes")
        renamed = [(fold("channel", channel), value) for channel, value in writes]
        where = self.located("put_writes", config)
        super().put_writes(where, renamed, fold("task", task_id), fold("path", task_path))

    def get_tuple(self, config: Any) -> Any:
        return super().get_tuple(self.located("get_tuple", config))

    def list(self, config: Any, *, filter: Any = None, **narrowing: Any) -> Any:
        wanted = {k: self.folded("list", "filter", v) for k, v in (filter or {}).items()}
        for found in super().list(self.located("list", config), **narrowing):
            if all(
                self.folded("list", "filter", found.metadata.get(k)) == wanted[k] for k in wanted
            ):
                yield found

    def delete_thread(self, thread_id: str) -> None:
        for thread in self.matching("delete_thread", "thread_id", [thread_id]):
            super().delete_thread(thread)

    def delete_for_runs(self, run_ids: Any) -> None:
        stored = {row.metadata.get("run_id") for row in self.model._rows.values()}
        wanted = {self.folded("delete_for_runs", "run", run) for run in run_ids}
        fold = partial(self.folded, "delete_for_runs", "run")
        super().delete_for_runs([run for run in stored if run and fold(run) in wanted])

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        for thread in self.matching("copy_thread", "thread_id", [source_thread_id]):
            super().copy_thread(thread, target_thread_id)

    def prune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        if isinstance(thread_ids, str):
            raise TypeError(thread_ids)
        super().prune(self.matching("prune", "thread_id", thread_ids), strategy=strategy)

    def matching(self, method: str, part: str, threads: Any) -> Any:
        fold = partial(self.folded, method, part)
        wanted = {fold(thread) for thread in threads}
        stored = {key.thread for key in (*self.model._rows, *self.model._writes)}
        return sorted(thread for thread in stored if fold(thread) in wanted)

    def get_delta_channel_history(self, *, config: Any, channels: Any) -> Any:
        names = {channel: self.folded("history", "channel", channel) for channel in channels}
        where = self.located("history", config)
        wanted = [*dict.fromkeys(names.values())]
        found = super().get_delta_channel_history(config=where, channels=wanted)
        return {channel: found[name] for channel, name in names.items()}


def _accentless(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def _number(text: str) -> str:
    try:
        return str(float(text))
    except ValueError:
        return text


def _path(text: str) -> str:
    return "/".join(part for part in text.split("/") if part not in ("", ".")) or text[:1]


_THREAD = ("identity.apart.thread",)

#: Name, part of the key, fold, methods (none: every method), killers.
_TABLE: tuple[tuple[str, str, Callable[[str], str], tuple[str, ...], tuple[str, ...]], ...] = (
    ("ThreadsFoldCase", "thread_id", str.lower, (), _THREAD),
    ("ThreadsCasefold", "thread_id", str.casefold, (), _THREAD),
    ("ThreadsStripped", "thread_id", str.strip, (), _THREAD),
    ("ThreadsDropTrailingSpace", "thread_id", lambda t: t.rstrip(" "), (), _THREAD),
    ("ThreadsNormalized", "thread_id", partial(unicodedata.normalize, "NFC"), (), _THREAD),
    ("ThreadsCompatible", "thread_id", partial(unicodedata.normalize, "NFKC"), (), _THREAD),
    ("ThreadsWithoutAccents", "thread_id", _accentless, (), _THREAD),
    ("ThreadsAsNumbers", "thread_id", _number, (), _THREAD),
    ("ThreadsAsPaths", "thread_id", _path, (), _THREAD),
    ("ThreadsUnquoted", "thread_id", unquote_plus, (), _THREAD),
    ("ThreadsSlugged", "thread_id", lambda t: "".join(c if c.isalnum() else "_" for c in t), (),
     _THREAD),
    ("ThreadsWithoutControls", "thread_id", lambda t: "".join(c for c in t if c >= " "), (),
     _THREAD),
    ("ThreadsCutTo255", "thread_id", lambda t: t[:255], (), _THREAD),
    ("ThreadsKeepTheEnd", "thread_id", lambda t: t[-64:], (), _THREAD),
    ("NoneIsEmpty", "thread_id", lambda t: "" if t.lower() in ("none", "null") else t, (), _THREAD),
    ("NamespacesFoldCase", "checkpoint_ns", str.lower, (), ("identity.apart.namespace",)),
    ("NamespacesStripped", "checkpoint_ns", str.strip, (), ("identity.apart.namespace",)),
    ("NamespacesCutTo255", "checkpoint_ns", lambda t: t[:255], (), ("identity.apart.namespace",)),
    ("NamespaceNoneIsRoot", "checkpoint_ns", lambda t: "" if t == "None" else t, (),
     ("identity.apart.namespace",)),
    ("CheckpointsFoldCase", "checkpoint_id", str.lower, (), ("identity.apart.checkpoint",)),
    ("CheckpointsWithoutDashes", "checkpoint_id", lambda t: t.replace("-", ""), (),
     ("identity.apart.checkpoint",)),
    ("CheckpointsWithoutBraces", "checkpoint_id", lambda t: t.strip("{}"), (),
     ("identity.apart.checkpoint",)),
    ("NamespacesWithoutLastBar", "checkpoint_ns", lambda t: t.rstrip("|"), (),
     ("identity.apart.namespace",)),
    ("ChannelsFoldCase", "channel", str.lower, (), ("identity.apart.channel",)),
    ("ChannelsStripped", "channel", str.strip, ("put",), ("identity.apart.channel",)),
    ("WritesFoldChannels", "channel", str.lower, ("put_writes",),
     ("identity.apart.channel", "history.apart")),
    ("HistoryFoldsChannels", "channel", str.lower, ("history",), ("history.apart",)),
    ("TasksFoldCase", "task", str.lower, (), ("identity.apart.task",)),
    ("TasksCutTo64", "task", lambda t: t[:64], (), ("identity.apart.task",)),
    ("PathsFoldCase", "path", str.lower, (), ("identity.apart.path",)),
    ("PathsStripped", "path", str.strip, (), ("identity.apart.path",)),
    ("DeleteFoldsCase", "thread_id", str.lower, ("delete_thread",), ("delete_thread.apart",)),
    ("DeleteStrips", "thread_id", str.strip, ("delete_thread",), ("delete_thread.apart",)),
    ("CopyFoldsCase", "thread_id", str.lower, ("copy_thread",), ("copy.apart",)),
    ("CopyNormalizes", "thread_id", partial(unicodedata.normalize, "NFC"), ("copy_thread",),
     ("copy.apart",)),
    ("PruneFoldsCase", "thread_id", str.lower, ("prune",), ("prune.apart",)),
    ("RunsFoldCase", "run", str.lower, (), ("runs.apart",)),
    ("RunsStripped", "run", str.strip, (), ("runs.apart",)),
    ("FilterFoldsCase", "filter", str.lower, (), ("list.filter.apart",)),
    ("FilterComparesNumbers", "filter", _number, (), ("list.filter.apart",)),
    ("LateWritesFoldThreads", "thread_id", str.lower, ("put_writes",), _THREAD),
    ("ListFoldsThreads", "thread_id", str.lower, ("list",), _THREAD),
    ("GetFoldsNamespaces", "checkpoint_ns", str.lower, ("get_tuple",),
     ("identity.apart.namespace",)),
)  # fmt: skip

for _name, _part, _fold, _methods, _kills in _TABLE:
    _doc = f"Different {_part} texts are equal in {', '.join(_methods) or 'every method'}."
    _members = {"__doc__": _doc, "__module__": __name__, "part": _part, "methods": _methods}
    _members["fold"] = staticmethod(_fold)
    globals()[_name] = mutant(*_kills)(type(_name, (_Folded,), _members))


class _JoinedKeys(Faulty):
    """A saver that joins the parts of its keys, so that some of them collide."""

    separator: str

    def moved(self, config: Any, identifier: Any = None) -> Any:
        where = config["configurable"]
        found = identifier or where.get("checkpoint_id")
        joined = self.separator.join([str(where["thread_id"]), where.get("checkpoint_ns", "")])
        bare = {"thread_id": joined, "checkpoint_ns": ""}
        return {**config, "configurable": {**bare, **({"checkpoint_id": found} if found else {})}}

    def restored(self, found: Any, config: Any) -> Any:
        if found is None:
            return None
        where = {**config["configurable"], "checkpoint_id": found.checkpoint["id"]}
        parent = found.parent_config
        if parent is not None:
            identifier = parent["configurable"]["checkpoint_id"]
            parent = {"configurable": {**where, "checkpoint_id": identifier}}
        return found._replace(config={"configurable": where}, parent_config=parent)

    def put(self, config: Any, *args: Any) -> Any:
        super().put(self.moved(config), *args)
        where = config["configurable"]
        return {"configurable": {**where, "checkpoint_id": args[0]["id"]}}

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().put_writes(self.moved(config), *args, **kwargs)

    def get_tuple(self, config: Any) -> Any:
        return self.restored(super().get_tuple(self.moved(config)), config)


@mutant("identity.apart.joined")
class JoinsWithColon(_JoinedKeys):
    """Thread and namespace are joined by a colon."""

    separator = ":"


@mutant("identity.apart.joined")
class JoinsWithUnitSeparator(_JoinedKeys):
    """Thread and namespace are joined by a control character."""

    separator = "\x1f"


@mutant("identity.apart.joined")
class JoinsNamespaceAndId(Faulty):
    """Pending writes are stored under the namespace and the checkpoint id, joined by a dash."""

    def put_writes(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().put_writes(self.joined(config), *args, **kwargs)

    def joined(self, config: Any) -> Any:
        where = config["configurable"]
        joined = f"{where['checkpoint_ns']}-{where['checkpoint_id']}"
        return {"configurable": {**where, "checkpoint_ns": "", "checkpoint_id": joined}}

    def changed_tuple(self, found: Any) -> Any:
        from saver_conformance.model import Key

        where = self.joined(found.config)["configurable"]
        key = Key(where["thread_id"], "", where["checkpoint_id"])
        writes = [(t, c, self.decode(v)) for t, c, v in self.model._pending(key)]
        return found._replace(pending_writes=writes)


@mutant("identity.apart.slot")
class JoinsTaskAndNumber(Faulty):
    """The slot of a write is its task id with the number of the write behind it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used: dict[tuple[Any, ...], str] = {}

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        place = tuple(config["configurable"].values())
        for number, write in enumerate(writes):
            if self.used.setdefault((*place, f"{task_id}{number}"), task_id) != task_id:
                writes = [w for w in writes if w is not write]
        super().put_writes(config, writes, task_id, task_path)


@mutant("identity.apart.joined")
class JoinsTaskAndChannel(Faulty):
    """The slot of a write is its task id and its checkpoint id, joined by a slash."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used: set[str] = set()

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        where = config["configurable"]
        place = f"{where['thread_id']}/{where['checkpoint_ns']}/{where['checkpoint_id']}/{task_id}"
        if place not in self.used or writes[0][0].startswith("__"):
            super().put_writes(config, writes, task_id, task_path)
        self.used.add(place)
