"""Labels: what of a checkpoint's metadata an index knows, so that a filter need not look at all.

Each checkpoint is found by its `run_id`, its `step`, and its `source` unless that is "loop", as
most are. By any other key with a plain value (a str, a number, a bool), such as the `user_id` that
is put into `configurable`, its thread is found. A label is a hash: it may lead to more than what is
wanted, never to less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.format.keys import hash64

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Matches: TypeAlias = Callable[[Mapping[str, Any]], bool]

_OF_CHECKPOINTS = ("run_id", "source", "step")
_WILDCARD = "*"
_LARGE = 1 << 64
_NEVER_PLAIN = (type(None), dict, list, tuple, set, frozenset, bytes)


def matcher(wanted: object) -> Matches | None:
    """Return a function that returns True for metadata with all wanted values. None: any.

    Raises:
        UsageError: The argument is not a dict; or, when the function is called, a value cannot be
            compared.
    """
    items = list((validation.optional_mapping(wanted, "filter") or {}).items())
    if not items:
        return None

    def matches(metadata: Mapping[str, Any]) -> bool:
        key = value = None
        try:
            for key, value in items:
                if metadata.get(key) != value:
                    return False
        except Exception as error:
            what = f"filter[{key!r}] must be comparable with metadata"
            raise UsageError(f"{what}, got {validation.shown(value)}") from error
        return True

    return matches


def run_text(run_id: Any) -> str:
    """A run's id as text, which it is in most cases."""
    return validation.as_text(run_id, 'metadata["run_id"]')


def term_for_run(run_id: str) -> bytes:
    """The label of a run's checkpoints."""
    return hash64(f"run_id\0{_stored_text(run_id)}")


def terms_for_metadata(metadata: Mapping[str, Any]) -> tuple[list[bytes], list[bytes]]:
    """The labels of a checkpoint itself, and those of its thread."""
    own: list[bytes] = []
    threads: list[bytes] = []
    for key, value in metadata.items():
        if key == "run_id":
            if value is not None:
                own.append(term_for_run(run_text(value)))
        elif not isinstance(value, _NEVER_PLAIN) and not _is_default_source(key, value):
            (own if key in _OF_CHECKPOINTS else threads).append(_label(key, value))
    return own, threads


def terms_for_filter(wanted: Mapping[str, Any], *, all_threads: bool) -> list[bytes] | None:
    """Labels that lead to every checkpoint with such metadata, if there are any; the narrowest.

    Args:
        anywhere: Whether all threads are searched; those of one thread are better found in it,
            but for those of a run.
    """
    run_id = wanted.get("run_id")
    if isinstance(run_id, str):
        return [term_for_run(run_id)]
    for key in ("source", "step") if all_threads else ():
        value = wanted.get(key)
        if isinstance(value, (str, int, float)) and not _is_default_source(key, value):
            return _labels(key, value)
    return None


def thread_terms_for_filter(wanted: Mapping[str, Any]) -> list[bytes] | None:
    """Labels that lead to every thread with such metadata, if there are any."""
    for key, value in wanted.items():
        if key not in _OF_CHECKPOINTS and isinstance(value, (str, int, float)):
            return _labels(key, value)
    return None


def _is_default_source(key: str, value: Any) -> bool:
    return key == "source" and isinstance(value, str) and value == "loop"


def _labels(key: str, value: Any) -> list[bytes]:
    return [*{_label(key, value), hash64(f"{key}\0{_WILDCARD}")}]


def _label(key: str, value: Any) -> bytes:
    """Equal values have equal labels: 1, 1.0 and True, too. What may be equal to anything has one
    that is always looked at."""
    if isinstance(value, str):
        return hash64(f"{key}\0s{_stored_text(value)}")
    if isinstance(value, (int, float)) and abs(value) < _LARGE:  # nor is NaN
        number = int(value) if value == int(value) else float(value)
        return hash64(f"{key}\0n{number}")
    return hash64(f"{key}\0{_WILDCARD}")


def _stored_text(text: str) -> str:
    """A serialiser may replace lone surrogates, so this does, too."""
    return str.__str__(text).encode("utf-8", "replace").decode()
