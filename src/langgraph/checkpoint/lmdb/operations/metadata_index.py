"""Index terms: hashes of metadata, so that a filter need not read every checkpoint.

Terms lead to checkpoints by `run_id`, by `step`, and by `source` unless that is "loop", the usual
source. Terms lead to threads by any other key with a plain value (a str, a number, a bool), for
example by the `user_id` in `configurable`. A term may lead to false positives, never to false
negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.format.keys import hash64

Matches: TypeAlias = Callable[[Mapping[str, Any]], bool]

_CHECKPOINT_KEYS = ("run_id", "source", "step")
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
    """Return a run id as text."""
    return validation.as_text(run_id, 'metadata["run_id"]')


def term_for_run(run_id: str) -> bytes:
    """Return the term of the checkpoints of a run."""
    return hash64(f"run_id\0{_stored_text(run_id)}")


def terms_for_metadata(metadata: Mapping[str, Any]) -> tuple[list[bytes], list[bytes]]:
    """Return the terms of a checkpoint, and the terms of its thread."""
    own: list[bytes] = []
    threads: list[bytes] = []
    for key, value in metadata.items():
        if key == "run_id":
            if value is not None:
                own.append(term_for_run(run_text(value)))
        elif not isinstance(value, _NEVER_PLAIN) and not _is_default_source(key, value):
            (own if key in _CHECKPOINT_KEYS else threads).append(_term(key, value))
    return own, threads


def terms_for_filter(wanted: Mapping[str, Any], *, all_threads: bool) -> list[bytes] | None:
    """Return terms that lead to every checkpoint with the wanted metadata, or None.

    Args:
        wanted: The wanted metadata.
        all_threads: True: all threads are searched. False: only the terms of runs are returned,
            because a walk through one thread is faster than the other terms.
    """
    run_id = wanted.get("run_id")
    if isinstance(run_id, str):
        return [term_for_run(run_id)]
    for key in ("source", "step") if all_threads else ():
        value = wanted.get(key)
        if isinstance(value, (str, int, float)) and not _is_default_source(key, value):
            return _terms(key, value)
    return None


def thread_terms_for_filter(wanted: Mapping[str, Any]) -> list[bytes] | None:
    """Return terms that lead to every thread with the wanted metadata, or None."""
    for key, value in wanted.items():
        if key not in _CHECKPOINT_KEYS and isinstance(value, (str, int, float)):
            return _terms(key, value)
    return None


def _is_default_source(key: str, value: Any) -> bool:
    return key == "source" and isinstance(value, str) and value == "loop"


def _terms(key: str, value: Any) -> list[bytes]:
    return [*{_term(key, value), hash64(f"{key}\0{_WILDCARD}")}]


def _term(key: str, value: Any) -> bytes:
    """Return the term of a value. Equal values have equal terms, also 1, 1.0 and True.

    A value of another type may be equal to any value, so it has the wildcard term, which is always
    searched.
    """
    if isinstance(value, str):
        return hash64(f"{key}\0s{_stored_text(value)}")
    if isinstance(value, (int, float)) and abs(value) < _LARGE:  # false for NaN
        number = int(value) if value == int(value) else float(value)
        return hash64(f"{key}\0n{number}")
    return hash64(f"{key}\0{_WILDCARD}")


def _stored_text(text: str) -> str:
    """Return a text with lone surrogates replaced, as a serializer may do."""
    return str.__str__(text).encode("utf-8", "replace").decode()
