"""Addresses: the links of the page, and the threads and checkpoints that a request names.

An id is any text: empty, with lone surrogates, or megabytes long. So ids are in the query, and a
thread with a long id is named by its hash.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from langgraph.checkpoint.lmdb.errors import ThreadNotFoundError
from langgraph.checkpoint.lmdb.views.stores import all_threads

if TYPE_CHECKING:
    from starlette.requests import Request

    from langgraph.checkpoint.lmdb import KvSaver

_LONGEST = 1000
"""Characters of the longest thread id that a link has."""
_REMEMBERED = 16
_long_ids: dict[str, str] = {}
"""Long thread ids by hash, those that were linked to last."""


def link(path: str, **params: object) -> str:
    """Return a link with parameters; those that are None or empty are left out.

    `thread` is the id of a thread.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        if name == "thread":
            pairs.append(_thread_pair(str(value)))
        elif value is not None and value != "" and value is not False:
            pairs.append((name, str(value)))
    query = urlencode(pairs, errors="surrogatepass")
    return f"{path}?{query}" if query else path


def thread_fields(thread_id: str) -> list[tuple[str, str]]:
    """Return the fields of a form that name a thread."""
    return [_thread_pair(thread_id)]


def params_of(request: Request) -> dict[str, str]:
    """Return the parameters of a request."""
    return decoded(request.scope["query_string"])


def decoded(query: bytes) -> dict[str, str]:
    """Return the parameters of a query or a form."""
    text = query.decode("latin-1")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="surrogatepass"))
    except UnicodeDecodeError:
        return dict(parse_qsl(text, keep_blank_values=True, errors="replace"))


def number(params: dict[str, str], name: str, default: int, most: int) -> int:
    """Return a parameter as a number from 0 to `most`; the default if it is anything else."""
    text = params.get(name, "")
    return min(int(text[:9]), most) if text.isascii() and text.isdecimal() else default


def thread_id_of(saver: KvSaver, params: dict[str, str]) -> str:
    """Return the id of the thread that a request names.

    Raises:
        ThreadNotFoundError: The request names no thread, or there is no thread with the hash.
    """
    if "thread" in params:
        return params["thread"]
    digest = params.get("hash")
    if digest is None:
        raise ThreadNotFoundError("the link names no thread", advice="Choose one of the list.")
    if digest not in _long_ids:
        for info in all_threads(saver, details=False):
            if len(info.thread_id) > _LONGEST and _digest(info.thread_id) == digest:
                _remember(digest, info.thread_id)
                break
        else:
            raise ThreadNotFoundError("the thread does not exist any more")
    return _long_ids[digest]


def _thread_pair(thread_id: str) -> tuple[str, str]:
    if len(thread_id) <= _LONGEST:
        return "thread", thread_id
    digest = _digest(thread_id)
    _remember(digest, thread_id)
    return "hash", digest


def _digest(thread_id: str) -> str:
    return hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()


def _remember(digest: str, thread_id: str) -> None:
    _long_ids.pop(digest, None)
    _long_ids[digest] = thread_id
    while len(_long_ids) > _REMEMBERED:
        _long_ids.pop(next(iter(_long_ids)), None)
