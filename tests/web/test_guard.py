"""The guard: tokens, hosts and origins, and the headers of each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.web.guard import is_own_host

if TYPE_CHECKING:
    from tests.web.conftest import Client

PATHS = [
    "/",
    "/thread?thread=chat",
    "/compare?thread=chat",
    "/value?thread=chat&part=metadata",
    "/static/page.js",
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_sent_without_the_token(page_of_filled: Client, path: str) -> None:
    sign = "&" if "?" in path else "?"
    for wrong in (path, f"{path}{sign}token=", f"{path}{sign}token=secret-tokeN"):
        answer = page_of_filled.ask(wrong, token=False)
        assert answer.status == 401
        assert "chat" not in answer.text
        assert "set-cookie" not in answer.headers
    wrong_cookie = f"langgraph-lmdb-{page_of_filled.site.port}=wrong"
    assert page_of_filled.ask(path, token=False, Cookie=wrong_cookie).status == 401
    assert page_of_filled.ask(path).status == 200


def test_the_token_of_the_link_becomes_a_strict_cookie(page_of_filled: Client) -> None:
    answer = page_of_filled.ask("/?token=secret-token", token=False)
    assert answer.status == 200
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {*attributes} == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert page_of_filled.ask("/", token=False, Cookie=cookie).status == 200


def test_foreign_hosts_are_refused(page_of_filled: Client) -> None:
    port = page_of_filled.site.port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "",
        "[",
        "10.1.2.3",
    ):
        answer = page_of_filled.ask("/", Host=host)
        assert answer.status == 400, host
        assert "chat" not in answer.text
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "LOCALHOST:1"):
        assert page_of_filled.ask("/", Host=host).status == 200, host


def test_foreign_origins_are_refused(page_of_filled: Client) -> None:
    own = f"127.0.0.1:{page_of_filled.site.port}"
    for origin in ("http://evil.example", "null", f"https://{own}", "http://127.0.0.1:1", ""):
        assert page_of_filled.ask("/", Origin=origin).status == 403, origin
    assert page_of_filled.ask("/", Origin=f"http://{own}").status == 200


@pytest.mark.parametrize(
    ("header", "served", "expected"),
    [
        ("10.1.2.3:8642", "0.0.0.0", True),
        ("[fe80::1]:8642", "::", True),
        ("localhost", "0.0.0.0", True),
        ("evil.example", "0.0.0.0", False),
        ("my-machine:8642", "my-machine", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.4", "10.1.2.3", False),
        ("localhost", "10.1.2.3", False),
    ],
)
def test_hosts_of_a_page_that_other_machines_reach(
    header: str, served: str, expected: bool
) -> None:
    assert is_own_host(header, served) is expected


def test_every_answer_has_safe_headers(page_of_filled: Client) -> None:
    for path, token in (("/", True), ("/", False), ("/nothing", True), ("/static/style.css", True)):
        headers = page_of_filled.ask(path, token=token).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
