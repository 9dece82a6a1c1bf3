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
