"""Faults in the versions of channels."""

from __future__ import annotations

from typing import Any

from mutants.base import Faulty, mutant


@mutant("put.versions")
class VersionsAsText(Faulty):
    """Channel versions are returned as text."""

    def changed_tuple(self, found: Any) -> Any:
        text = {k: str(v) for k, v in found.checkpoint["channel_versions"].items()}
        return found._replace(checkpoint={**found.checkpoint, "channel_versions": text})


@mutant("put.versions")
class WholeVersions(Faulty):
    """Channel versions of type float lose their fraction."""

    def changed_tuple(self, found: Any) -> Any:
        whole = {
            k: int(v) if isinstance(v, float) else v
            for k, v in found.checkpoint["channel_versions"].items()
        }
        return found._replace(checkpoint={**found.checkpoint, "channel_versions": whole})


@mutant("versions.increase")
class TextVersions(Faulty):
    """Versions are numbers as text, so that the tenth is smaller than the ninth."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        return str(int(current or 0) + 1)


@mutant("versions.foreign")
class FloatsStick(Faulty):
    """The version after a large float is the same float."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        if isinstance(current, float):
            return current + 1
        return super().get_next_version(current, channel)


@mutant("versions.foreign")
class OnlyOwnVersions(Faulty):
    """get_next_version raises for a text."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        if isinstance(current, str):
            raise NotImplementedError
        return super().get_next_version(current, channel)


@mutant("put.versions")
class RoundsVersions(Faulty):
    """An int version is rounded to a float of 64 bits."""

    def changed_tuple(self, found: Any) -> Any:
        versions = found.checkpoint["channel_versions"].items()
        rounded = {k: int(float(v)) if isinstance(v, int) else v for k, v in versions}
        return found._replace(checkpoint={**found.checkpoint, "channel_versions": rounded})


@mutant("scale.versions")
class ShortVersions(Faulty):
    """Versions are numbers as text, padded to four digits."""

    def get_next_version(self, current: Any, channel: None) -> Any:
        return f"{int(current or 0) + 1:04}"
