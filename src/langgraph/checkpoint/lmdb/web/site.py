"""The site: the store that the page shows, and what the page may do."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb.opening import label
from langgraph.checkpoint.lmdb.web.memory import Memory
from langgraph.checkpoint.lmdb.web.resumptions import Resumptions

if TYPE_CHECKING:
    from starlette.requests import Request

    from langgraph.checkpoint.lmdb import KvSaver


@dataclass(frozen=True)
class Site:
    """A store and how it is served."""

    saver: KvSaver
    """Saver with the plain serializer."""
    store: str
    """Folder or connection string of the store, as the user named it. It may hold a password."""
    host: str
    """Address or name that the server listens on."""
    port: int
    token: str
    """Secret of the link. A request without it is refused."""
    allow_changes: bool = False
    graph: Any = None
    """Graph that resumes runs. None: the page resumes nothing."""

    @cached_property
    def label(self) -> str:
        """Name of the store on the page, without user and password."""
        return label(self.store)

    @cached_property
    def resumptions(self) -> Resumptions:
        """Runs that the page resumes."""
        return Resumptions(self.store, self.graph)

    @cached_property
    def memory(self) -> Memory:
        """The results of the last reads of the store."""
        return Memory(self.saver)

    @cached_property
    def form_token(self) -> str:
        """Secret of the forms, which no other page can read."""
        return hmac.new(self.token.encode(), b"form", hashlib.sha256).hexdigest()


def site_of(request: Request) -> Site:
    """Return the site of a request."""
    site: Site = request.app.state.site
    return site
