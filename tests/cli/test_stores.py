"""Every look at every kind of store, in a pipe and on a terminal."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from benches import large_store

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from tests.cli.conftest import on_terminal, run, run_json

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv.base import Writer

KEY = "k" * 32
THREADS = ("chat", "waiting", "failed", "forked", "delta", "answered")
LOOKS = (
    ["threads"],
    *(["tree", thread] for thread in ("waiting", "forked")),
    ["history", "failed"],
    *(["show", thread] for thread in ("chat", "delta")),
    ["diff", "forked"],
    ["grep", "sunny|turn"],
    ["stats"],
    ["runs"],
)


@pytest.fixture(scope="module")
def encrypted(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the filled store, encrypted."""
    pytest.importorskip("cryptography")
    path = tmp_path_factory.mktemp("encrypted") / "store"
    with LmdbSaver(filled, readonly=True) as saver:
        saver.copy_store(path, encryption_key=KEY.encode())
    return path


def plain(text: str) -> list[str]:
    """Return the lines of a terminal's output, without colors and spaces that only fill."""
    lines = re.sub(r"\x1b\[[\d;]*m", "", text).replace("\r\n", "\n").splitlines()
    return [re.sub(r" +", " ", line).rstrip() for line in lines]


def damage(store: Path, checkpoint_id: str) -> None:
    """Flip a bit of the record of a checkpoint."""

    def flip(writer: Writer) -> None:
        candidates = (
            keys.checkpoint(keys.NamespaceRef(thread, 0), checkpoint_id) for thread in range(10)
        )
        (key,) = (key for key in candidates if writer.get(key) is not None)
        record = writer.get(key) or b""
        writer.put(key, record[:-1] + bytes([record[-1] ^ 1]))

    with closing(LmdbStore.open(store)) as kv:
        kv.write(flip)


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_terminal_and_pipe_tell_the_same(filled: Path, encrypted: Path, look: list[str]) -> None:
    name, *arguments = look
    status, shown = on_terminal(name, filled, *arguments, COLUMNS="400")
    piped = run(name, filled, *arguments).stdout
    assert status == 0
    assert "\x1b" not in piped
    assert plain(shown) == plain(piped)
    if name != "stats":  # its sizes differ
        decrypted = run(name, encrypted, *arguments, LANGGRAPH_AES_KEY=KEY).stdout
        sizes = re.compile(r" [\d.]+ [KM]?B")
        assert sizes.sub("", "\n".join(plain(decrypted))) == sizes.sub("", "\n".join(plain(piped)))


def test_damaged_checkpoint_is_left_out_and_the_rest_is_shown(copied: Path) -> None:
    steps = run_json("history", copied, "chat")
    damage(copied, steps[4]["checkpoint_id"])
    (report,) = run_json("verify", copied, status=1)
    assert report["counts"] == {"damaged": 1}
    (error,) = run(
        "show", copied, f"chat@{steps[4]['checkpoint_id']}", status=2
    ).stderr.splitlines()
    assert "verify it" in error
    tree = run("tree", copied, "chat")
    assert len(tree.stdout.splitlines()) == len(steps) - 1
    assert "left out" in tree.stderr
    assert run_json("show", copied, "chat")[0]["state"] == "complete"
    assert {one["thread_id"] for one in run_json("threads", copied)} == {*THREADS}
    assert "verify it" in run("export", copied, "--lossless", status=2).stderr


@pytest.mark.long
def test_commands_answer_on_100_000_threads(tmp_path: Path) -> None:
    large_store.build(tmp_path / "large", 100_000)
    (totals,) = run_json("stats", tmp_path / "large")
    assert totals["threads"] == 100_000
    assert totals["checkpoints"] > 1_000_000
    assert len(run_json("threads", tmp_path / "large")) == 50
    assert len(run_json("threads", tmp_path / "large", "--state", "failed")) == 50
    assert run_json("show", tmp_path / "large", "failed")[0]["state"] == "failed"
    shutil.rmtree(tmp_path / "large")
