"""Checks of arguments, at the top of every operation.

Each function returns the argument in the form that the store keeps, or raises an error that names
it. What a reader refuses is refused here first, so that all that is stored can be read.
"""

from __future__ import annotations

import operator
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    InvalidVersionError,
    LmdbSaverError,
    NotASequenceError,
    UsageError,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.base import Checkpoint

MEMORY = ":memory:"
"""The path of a store in memory."""
_URL = re.compile(r"([a-z][a-z0-9+.-]*):/", re.IGNORECASE)
_KEYWORDS = re.compile(r"\s*[a-z_]+\s*=\s*\S*\s+[a-z_]+\s*=", re.IGNORECASE)
"""Connection strings."""
_SHOWN = 80
"""Characters of a value that an error shows."""
_TEXTS = {str}
_INTS = {int}
_SMALLEST, _GREATEST = -(1 << 63), (1 << 64) - 1
_OTHER_VERSIONS = {str, float}


def refuse(
    name: str,
    expected: str,
    value: object,
    kind: type[LmdbSaverError] = UsageError,
    **ref: Any,
) -> NoReturn:
    """Raise the error of an argument that is not what it must be.

    Args:
        name: The argument.
        expected: What it must be.
        value: What it is.
        kind: The class of the error.
        ref: The location, as for `LmdbSaverError`.
    """
    raise kind(f"{name} must be {expected}, got {shown(value)}", **ref)


def shown(value: object) -> str:
    """Return a short text that stands for a value in an error."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the argument is wrong, its repr may be, too
        text = object.__repr__(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def plain(value: str) -> str:
    """Return a text as exactly `str`: members of enumerations and other subclasses are equal to
    their text, so they name the same."""
    return value if type(value) is str else str.__str__(value)


def text(value: object, name: str, kind: type[LmdbSaverError] = UsageError) -> str:
    """Return an id as text; numbers, UUIDs and other values become what `str` makes of them.

    Raises:
        UsageError: It is None or a mapping, or `str` fails.
    """
    if type(value) is str:
        return value
    if value is None or isinstance(value, Mapping):
        refuse(name, "a str", value, kind)
    return as_text(value, name, kind)


def as_text(value: object, name: str, kind: type[LmdbSaverError] = UsageError) -> str:
    """Return what `str` makes of a value.

    Raises:
        UsageError: It fails.
    """
    if not isinstance(value, str):
        try:
            value = str(value)
        except Exception:  # noqa: BLE001 - whatever it raises, the value has no text
            refuse(name, "a str", value, kind)
    return plain(value)


def texts(values: object, name: str) -> list[str]:
    """Return a list of ids."""
    return [text(value, f"each of {name}") for value in sequence(values, name)]


def sequence(values: object, name: str) -> list[Any]:
    """Return the items of a list, or of whatever else is iterated over.

    Raises:
        NotASequenceError: It is a single text or bytes, a mapping, or not iterable.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise NotASequenceError(
            f"{name} must be a list, got {shown(values)}", advice=f"Pass a list: {name}=[...]."
        )
    return list(values)


def count(
    value: object, name: str, unit: str, least: int | None = 0, most: int | None = None
) -> int:
    """Return a whole number.

    Args:
        value: An int, or an object with `__index__`, for example an integer of NumPy.
        name: Name of the argument.
        unit: Unit that the number counts.
        least: The smallest allowed number. None: no limit.
        most: The greatest allowed number. None: no limit.

    Raises:
        UsageError: The value is not a whole number, or is out of these bounds.
    """
    expected = f"a whole number of {unit}"
    if most is not None:
        expected += f" from {least} to {most}"
    elif least is not None:
        expected += f", {least} or more"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - any error means that it is not a number
        refuse(name, expected, value)
    too_small = least is not None and number < least
    if isinstance(value, bool) or too_small or (most is not None and number > most):
        refuse(name, expected, value)
    return number


def optional_count(value: object, name: str, unit: str, least: int = 0) -> int | None:
    """Return a whole number, or None for None."""
    return None if value is None else count(value, name, f"{unit} (or None)", least)


def limit(value: object) -> int | None:
    """Return how many checkpoints to list at most. None: all; a negative number lists none."""
    if value is None:
        return None
    return min(max(count(value, "limit", "checkpoints (or None)", None), 0), sys.maxsize)


def flag(value: object, name: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        refuse(name, "True or False", value)
    return value


def allowlist(given: object) -> tuple[Any, ...]:
    """Return types that a serializer is to allow: classes, or tuples of texts that name them."""
    types = tuple(sequence(given, "extra_allowlist"))
    for one in types:
        names = isinstance(one, tuple) and all(isinstance(part, str) for part in one)
        if not names and not isinstance(one, type):
            refuse("each of extra_allowlist", "a tuple of str", one)
    return types


def function(value: object, name: str) -> None:
    """Check that an argument can be called."""
    if not callable(value):
        refuse(name, "a function", value)


def optional_function(value: object, name: str) -> None:
    """Check that an argument can be called, or is None."""
    if value is not None and not callable(value):
        refuse(name, "a function or None", value)


def choice(value: object, name: str, choices: tuple[str, ...]) -> str:
    """Return one of several words."""
    if not isinstance(value, str) or value not in choices:
        refuse(name, " or ".join(map(repr, choices)), value)
    return plain(value)


def mapping(value: object, name: str) -> Mapping[Any, Any]:
    """Return a mapping.

    Raises:
        UsageError: The value is not a mapping.
    """
    if type(value) is not dict and not isinstance(value, Mapping):
        refuse(name, "a dict", value)
    return value


def optional_mapping(value: object, name: str) -> Mapping[Any, Any] | None:
    """Return a mapping, or None."""
    return None if value is None else mapping(value, name)


def serializer(serde: object) -> None:
    """Check that an object is a serializer, of LangGraph's protocol or of its older one."""
    for pair in (("dumps_typed", "loads_typed"), ("dumps", "loads")):
        if all(callable(getattr(serde, name, None)) for name in pair):
            return
    refuse("serde", "an object with dumps_typed and loads_typed", serde)


def folder(path: object, name: str = "path") -> str:
    """Return the folder that a path names; a `~` in front is the user's home.

    A connection string may hold a password, so the error does not show it.

    Args:
        path: A str or an os.PathLike.
        name: The argument.

    Raises:
        InvalidPathError: It is something else, or a connection string.
    """
    given: object = path
    if isinstance(path, os.PathLike):
        given = path.__fspath__()
    if not isinstance(given, str):
        expected = "a str or an os.PathLike of str that names a folder"
        raise InvalidPathError(f"{name} must be {expected}, got {type(path).__name__}")
    url = _URL.match(given)
    if url is not None or _KEYWORDS.match(given) is not None:
        scheme = "" if url is None else f" of the scheme {url[1]!r}"
        raise InvalidPathError(
            f"{name} must be a folder, got a connection string{scheme}",
            advice='LmdbSaver keeps its store in a folder: LmdbSaver("checkpoints").',
        )
    if given == MEMORY and isinstance(path, str):
        raise InvalidPathError(
            f"{name} must be a folder, got {MEMORY!r}",
            advice=f"Open a store in memory with LmdbSaver({MEMORY!r}).",
        )
    try:
        if b"\0" in os.fsencode(given):
            raise ValueError("embedded null byte")
    except ValueError as error:
        message = f"{name} must be a str that can name a folder, got {shown(given)}"
        raise InvalidPathError(message) from error
    return os.path.expanduser(plain(given))  # noqa: PTH111 - a Path drops "./"


def checkpoint(given: object) -> Checkpoint:
    """Return a checkpoint whose id, channels and versions a reader takes.

    Raises:
        UsageError: A part is missing, or is not what it must be.
        InvalidVersionError: A version is not one.
    """
    parts = {**mapping(given, "checkpoint")}
    for key in ("id", "channel_values", "channel_versions"):
        if key not in parts:
            refuse("checkpoint", f"a dict with {key!r}", given)
    parts["id"] = text(parts["id"], 'checkpoint["id"]')
    if not parts["id"]:  # a config with an empty id leads to the latest checkpoint
        refuse('checkpoint["id"]', "a str that is not empty", "")
    parts["channel_values"] = _by_channel(parts, "channel_values")
    versions = _by_channel(parts, "channel_versions")
    if not _are_plain(versions.values()):
        versions = {name: _version(value, name) for name, value in versions.items()}
    parts["channel_versions"] = {**versions}
    return cast("Checkpoint", parts)


def _are_plain(versions: Collection[Any]) -> bool:
    """Return True if all versions surely have one usual type. False decides nothing."""
    if _INTS.issuperset(map(type, versions)):
        return not versions or (min(versions) >= _SMALLEST and max(versions) <= _GREATEST)
    return _OTHER_VERSIONS.issuperset(map(type, versions))


def _by_channel(parts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    name = f'checkpoint["{key}"]'
    return _with_names(mapping(parts[key], name), name, "channel")


def _with_names(given: Mapping[Any, Any], name: str, what: str) -> Mapping[str, Any]:
    """Return a mapping whose keys are exactly `str`."""
    if _TEXTS.issuperset(map(type, given)):
        return given
    found = {channel(key, f"each {what} of {name}"): given[key] for key in given}
    if len(found) != len(given):
        refuse(name, f"a dict with one value for each {what}", given)
    return found


def channel(name: object, what: str) -> str:
    """Return the name of a channel, which is text and nothing else."""
    if not isinstance(name, str):
        refuse(what, "a str", name)
    return plain(name)


def metadata(given: object) -> Mapping[Any, Any]:
    """Return metadata. Keys that are no text are left to the serializer."""
    found = mapping(given, "metadata")
    if _TEXTS.issuperset(map(type, found)):
        return found
    for key in found:
        as_text(key, "each key of metadata")
    return {plain(key) if isinstance(key, str) else key: found[key] for key in found}


def string_keys(given: object, name: str) -> None:
    """Check that an argument is a mapping whose keys are texts, or None."""
    if given is not None:
        _with_names(mapping(given, name), name, "key")


def _version(value: object, name: str) -> int | float | str:
    if isinstance(value, int):
        number = value if isinstance(value, bool) else int.__int__(value)
        if _SMALLEST <= number <= _GREATEST:
            return number
    elif isinstance(value, str):
        return plain(value)
    elif isinstance(value, float):
        return float.__float__(value)
    what, expected = "the version of a channel", "a str, a float, or an int of at most 64 bits"
    refuse(what, expected, value, InvalidVersionError, channel=name)


def writes(given: object) -> list[tuple[str, Any]]:
    """Return the writes of a task.

    Raises:
        UsageError: They are not pairs of a channel and a value.
    """
    rows: list[tuple[str, Any]] = []
    for row in sequence(given, "writes"):
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            refuse("each of writes", "a pair of a channel and a value", row)
        rows.append((channel(row[0], "each channel of writes"), row[1]))
    return rows
