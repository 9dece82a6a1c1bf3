"""Snapshot stores, each with one fault in the fields of a snapshot."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from snapshot_registry import mutant
from snapshot_stores import Reference


@mutant("isolation")
class KeepsTheData(Reference):
    """Keeps the object that was saved, and returns it."""

    def pack(self, data: Any) -> Any:
        return data

    def unpack(self, data: Any) -> Any:
        return data


@mutant("isolation")
class CopiesWhenSavingOnly(Reference):
    """Returns the same object to each reader."""

    def pack(self, data: Any) -> Any:
        return json.loads(json.dumps(data))

    def unpack(self, data: Any) -> Any:
        return data


@mutant("isolation")
class CopiesWhenReadingOnly(Reference):
    """Keeps the object that was saved."""

    def pack(self, data: Any) -> Any:
        return data

    def unpack(self, data: Any) -> Any:
        return json.loads(json.dumps(data))


@mutant("isolation")
class ShallowCopies(Reference):
    """Copies only the outermost dict."""

    def pack(self, data: Any) -> Any:
        return dict(data)

    def unpack(self, data: Any) -> Any:
        return dict(data)


@mutant("model", "round_trip")
class NumbersBecomeFloats(Reference):
    """Reads whole numbers back as floats."""

    def unpack(self, data: Any) -> Any:
        return json.loads(data, parse_int=float)


@mutant("round_trip")
class SortedKeys(Reference):
    """Changes the order of keys."""

    def pack(self, data: Any) -> Any:
        return json.dumps(data, sort_keys=True)


@mutant("model", "round_trip")
class DropsEmptyValues(Reference):
    """Drops keys whose value is empty."""

    def pack(self, data: Any) -> Any:
        return super().pack({key: value for key, value in data.items() if value})


@mutant("model", "round_trip")
class EqualDataAreUnchanged(Reference):
    """Keeps the older data if the new data are equal in Python: 1 and True are."""

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        for old in self.tasks.get(task_id, {}).values():
            if json.loads(old["data"]) == json.loads(fields["data"]):
                fields["data"] = old["data"]
        fields["data"] = fields["data"].replace("1.0", "1")
        super().put(task_id, fields)


@mutant("equal_data")
class EqualDataAreShared(Reference):
    """Shares the data of versions that are equal in Python."""

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        for old in self.tasks.get(task_id, {}).values():
            if json.loads(old["data"]) == json.loads(fields["data"]):
                fields["data"] = old["data"]
        super().put(task_id, fields)


@mutant("equal_data")
class EqualDataAreNotReplaced(Reference):
    """Ignores a second save of a version with data that are equal in Python."""

    def put(self, task_id: str, fields: dict[str, Any]) -> None:
        old = self.tasks.get(task_id, {}).get(fields["version"])
        if old is not None and json.loads(old["data"]) == json.loads(fields["data"]):
            fields["data"] = old["data"]
        super().put(task_id, fields)


@mutant("model", "round_trip")
class TimesInUtc(Reference):
    """Reads times back in UTC without the offset."""

    def make(self, fields: dict[str, Any]) -> Any:
        made = super().make(fields)
        return replace(made, created_at=made.created_at.replace(tzinfo=None))


@mutant("model", "round_trip")
class TimesInSeconds(Reference):
    """Drops the microseconds of times."""

    def make(self, fields: dict[str, Any]) -> Any:
        made = super().make(fields)
        return replace(made, created_at=made.created_at.replace(microsecond=0))


@mutant("model")
class ForgetsTheCheckpointFlag(Reference):
    """Reads the flag back as False."""

    def make(self, fields: dict[str, Any]) -> Any:
        return replace(super().make(fields), checkpoint=False)


@mutant("model", "round_trip")
class IdOfTheTask(Reference):
    """Reads the id back as the id of the task."""

    def make(self, fields: dict[str, Any]) -> Any:
        return replace(super().make(fields), id=fields["task_id"])
