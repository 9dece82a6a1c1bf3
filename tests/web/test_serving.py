"""The command `serve` as a process: the link, the options and its end."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import COMMAND, environment, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_link_in_a_pipe_and_ends_quietly(filled: Path, stop: int) -> None:
    command = [*COMMAND, "serve", str(filled), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        link = urlsplit(process.stdout.readline().strip())
        assert (link.scheme, link.hostname, link.path) == ("http", "127.0.0.1", "/")
        assert link.port
        assert len(link.query) > len("token=") + 32
        connection = http.client.HTTPConnection("127.0.0.1", link.port, timeout=60)
        connection.request("GET", f"/?{link.query}")
        response = connection.getresponse()
        assert response.status == 200
        assert b"chat" in response.read()
        connection.close()
        process.send_signal(stop)
        output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("", "")
    assert process.returncode in (130, -signal.SIGTERM)


def test_the_page_imports_no_graph(filled: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "langgraph.checkpoint.lmdb", "serve"]
    with subprocess.Popen(
        [*command, str(filled), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert "token=" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    modules = {line.rpartition("|")[2].strip() for line in errors.splitlines()}
    assert "langgraph.checkpoint.lmdb.web.app" in modules
    assert not modules & {
        "langgraph.pregel",
        "langgraph.types",
        "langgraph.checkpoint.lmdb.workflows",
    }


def test_serve_prints_its_link_as_json(filled: Path) -> None:
    command = [*COMMAND, "serve", str(filled), "--port", "0", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert urlsplit(json.loads(process.stdout.readline())["link"]).query.startswith("token=")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")


def test_serve_says_what_to_do_about_a_port_in_use(filled: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run("serve", filled, "--port", port, status=2)
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "--port 0" in done.stderr


def test_serve_needs_a_store(tmp_path: Path) -> None:
    assert "Check the path" in run("serve", tmp_path / "missing", "--port", "0", status=2).stderr
    assert not (tmp_path / "missing").exists()
