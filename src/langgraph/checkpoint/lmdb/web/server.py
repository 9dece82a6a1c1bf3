"""The server of the page: it listens, announces its link, and serves until Ctrl-C."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.views.stores import open_store
from langgraph.checkpoint.lmdb.web.app import create_app
from langgraph.checkpoint.lmdb.web.guard import LOOPBACK
from langgraph.checkpoint.lmdb.web.site import Site

_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
_STOP_SECONDS = 2

_log = logging.getLogger(__name__)


def serve(
    store: str,
    announce: Callable[[str], None],
    *,
    host: str,
    port: int,
    allow_changes: bool = False,
    graph: Any = None,
) -> None:
    """Serve the page of a store until the process gets SIGINT or SIGTERM.

    Args:
        store: Folder or connection string of the store.
        announce: Function that is called with the link once a browser can open it.
        host: Address or name to listen on.
        port: Port to listen on; 0: any free one.
        allow_changes: True: the page may change the store.
        graph: Graph that resumes runs. None: the page resumes nothing.

    Raises:
        UsageError: The host and port cannot be listened on.
        InvalidPathError: There is no store.
    """
    with listening(host, port) as listener, open_store(store, readonly=not allow_changes) as saver:
        site = Site(
            saver=saver,
            store=store,
            host=host,
            port=listener.getsockname()[1],
            token=secrets.token_urlsafe(32),
            allow_changes=allow_changes,
            graph=graph,
        )
        if host not in LOOPBACK:
            _log.warning("other machines can reach the page; its link is their key, unencrypted")
        server_of(site, announce).run(sockets=[listener])


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens: a browser that connects now is answered later.

    Raises:
        UsageError: The host and port cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on {host} port {port} ({error})",
            advice="Pass --port 0 for any free port.",
        ) from error
    with listener:
        yield listener


def link(site: Site) -> str:
    """Return the link of the page, with its token."""
    host = "127.0.0.1" if site.host in _EVERY_ADDRESS else site.host
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{site.port}/?token={site.token}"


def server_of(site: Site, announce: Callable[[str], None] | None = None) -> uvicorn.Server:
    """Return the server of a site, which logs warnings to the root logger.

    Args:
        site: The site.
        announce: Function that is called with the link once the server answers.
    """
    config = uvicorn.Config(
        create_app(site),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    return _Server(config, site, announce)


class _Server(uvicorn.Server):
    """A server that announces its link when signals end it quietly, and not before."""

    def __init__(
        self, config: uvicorn.Config, site: Site, announce: Callable[[str], None] | None
    ) -> None:
        super().__init__(config)
        self._site = site
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._announce is not None:
            self._announce(link(self._site))
