"""The commands that look, in a pipe, on a store of real graphs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.workflows import FileLockManager
from tests.cli.conftest import run, run_json

if TYPE_CHECKING:
    from pathlib import Path

STATES = {
    "chat": "complete",
    "waiting": "waiting",
    "failed": "failed",
    "forked": "stalled",
    "delta": "complete",
    "answered": "complete",
}


def test_threads_lists_threads_with_their_states(filled: Path) -> None:
    assert {one["thread_id"]: one["state"] for one in run_json("threads", filled)} == STATES
    text = run("threads", filled).stdout
    assert re.search(r"^failed +failed +.* ValueError\('no token'\)", text, re.MULTILINE)
    assert re.search(r"^waiting +waiting +.* ask, ask", text, re.MULTILINE)


def test_threads_filters_and_sorts(filled: Path) -> None:
    def names(*options: str) -> list[str]:
        return [one["thread_id"] for one in run_json("threads", filled, *options)]

    assert {*names("--state", "failed", "--state", "waiting")} == {"failed", "waiting"}
    assert names("--prefix", "f", "--sort", "id") == ["failed", "forked"]
    assert names("--sort", "id", "--reverse") == sorted(STATES, reverse=True)
    by_size = run_json("threads", filled, "--sort", "size")
    assert by_size == sorted(by_size, key=lambda one: one["bytes"], reverse=True)
    assert names("--metadata", "source=update") == ["forked"]
    assert names("--metadata", "step=1", "--prefix", "chat") == ["chat"]


def test_threads_continues_after_a_page(filled: Path) -> None:
    every = [one["thread_id"] for one in run_json("threads", filled)]
    for order in ((), ("--sort", "id"), ("--sort", "steps")):
        whole = [one["thread_id"] for one in run_json("threads", filled, *order)]
        pages, after = [], []
        while page := run_json("threads", filled, "--limit", "2", *order, *after):
            pages += [one["thread_id"] for one in page]
            after = ["--after", pages[-1]]
        assert pages == whole
        assert {*pages} == {*every}
    assert "more: --after" in run("threads", filled, "--limit", "2").stdout


def test_a_run_that_holds_its_lock_is_running(copied: Path) -> None:
    locks = FileLockManager(copied)
    with locks.lock(run_lock("failed")), locks.lock(run_lock("chat")):  # chat is complete
        assert [one["thread_id"] for one in run_json("threads", copied, "--state", "running")] == [
            "failed"
        ]
        assert run_json("threads", copied, "--state", "failed") == []
        (step,) = run_json("show", copied, "failed")
        assert step["state"] == run_json("history", copied, "failed")[0]["state"] == "running"
        assert run_json("show", copied, "chat")[0]["state"] == "complete"
        assert run_json("runs", copied)[0]["counts"]["running"] == 1
    assert run_json("threads", copied, "--state", "running") == []
    assert run_json("show", copied, "failed")[0]["state"] == "failed"


def test_history_lists_the_line_of_a_checkpoint(filled: Path) -> None:
    steps = run_json("history", filled, "chat")
    assert [one["step"] for one in steps] == list(range(8, -2, -1))
    assert [one["parent_id"] for one in steps[:-1]] == [one["checkpoint_id"] for one in steps[1:]]
    assert steps[0]["state"] == "complete"
    assert run_json("history", filled, "chat@3")[0]["step"] == 3
    assert len(run_json("history", filled, "chat", "--limit", "2")) == 2
    assert len(run("history", filled, "chat").stdout.splitlines()) == 1 + len(steps)


def test_show_prints_a_conversation(filled: Path) -> None:
    text = run("show", filled, "chat").stdout
    assert "human: How is the weather in Oslo?" in text
    assert 'ai calls weather {"city": "Oslo"}' in text
    assert "tool: sunny" in text
    assert "ai: It is sunny." in text
    assert "state complete" in text
    (step,) = run_json("show", filled, "chat")
    (channel,) = (one for one in step["channels"] if one["name"] == "messages")
    assert [one["role"] for one in channel["messages"]] == ["human", "ai", "tool", "ai"] * 2
    assert channel["value"][0]["$type"].endswith(".HumanMessage")


def test_show_prints_interrupts_and_pending_writes(filled: Path) -> None:
    text = run("show", filled, "waiting").stdout
    assert 'interrupt {"question": "color"}' in text
    assert 'interrupt {"question": "size"}' in text
    assert "__interrupt__" in text
    (step,) = run_json("show", filled, "waiting")
    assert [one["value"]["question"] for one in step["interrupts"]] == ["color", "size"]
    assert step["next"] == ["ask", "ask"]


def test_show_prints_the_error_of_a_run(filled: Path) -> None:
    text = run("show", filled, "failed").stdout
    assert "error ValueError('no token')" in text
    assert "next publish" in text


def test_show_prints_the_writes_of_a_delta_channel(filled: Path) -> None:
    (step,) = run_json("show", filled, "delta")
    (log,) = (one for one in step["channels"] if one["name"] == "log")
    stored = log["value"]["$value"] if isinstance(log["value"], dict) else log["value"]
    rebuilt = [*stored, *(part for write in log["writes"] for part in write)]
    assert rebuilt == ["turn 0", "work", "turn 1", "work", "turn 2", "work"]
    assert log["writes"]


def test_a_checkpoint_has_several_names(filled: Path) -> None:
    steps = run_json("history", filled, "chat")
    wanted = steps[2]["checkpoint_id"]
    for name in (wanted, wanted[:-3], wanted[-8:], "~2", str(steps[2]["step"])):
        assert run_json("show", filled, "chat", name)[0]["checkpoint_id"] == wanted
        assert run_json("show", filled, f"chat@{name}")[0]["checkpoint_id"] == wanted


def test_tree_draws_branches_and_subgraphs(filled: Path) -> None:
    (root,) = run_json("tree", filled, "forked")
    tips = {node["checkpoint_id"] for node in root["nodes"]}
    tips -= {node["parent_id"] for node in root["nodes"]}
    assert len(tips) == 3
    assert root["current"] == root["nodes"][0]["checkpoint_id"]
    subgraphs = [tree for node in root["nodes"] for tree in node["subgraphs"]]
    assert len(subgraphs) == 2
    assert all(tree["namespace"].startswith("review:") for tree in subgraphs)
    text = run("tree", filled, "forked").stdout
    assert text.count("subgraph review:") == 2
    assert "├─╯" in text
    assert text.splitlines()[0].endswith("(current)")
    assert "interrupt" in run("tree", filled, "waiting").stdout
    assert "error: ValueError('no token')" in run("tree", filled, "failed").stdout


def test_diff_shows_what_a_step_changed(filled: Path) -> None:
    text = run("diff", filled, "chat").stdout
    assert "+ [id=answer-tool-6] ai: It is sunny." in text
    (found,) = run_json("diff", filled, "chat", "chat@1")
    assert found["after"]["step"] == 1
    kinds = {change["kind"] for channel in found["channels"] for change in channel["changes"]}
    assert kinds == {"removed"}


def test_diff_compares_words_and_paths(filled: Path) -> None:
    steps = {one["step"]: one for one in run_json("tree", filled, "forked")[0]["nodes"]}
    last = steps[3]["checkpoint_id"]
    text = run("diff", filled, "forked@1", f"forked@{last}").stdout
    assert "The [-slow-]{+quick+} brown fox jumps over the {+lazy +}dog." in text
    assert "~ a.b 1 -> 2" in text
    assert "+ a.c [1]" in text


def test_grep_finds_values(filled: Path) -> None:
    hits = run_json("grep", filled, "sunny")
    assert {hit["thread_id"] for hit in hits} == {"chat"}
    assert all(hit["text"][hit["start"] : hit["end"]] == "sunny" for hit in hits)
    assert len(run_json("grep", filled, "sunny", "--history")) > len(hits)
    assert run_json("grep", filled, "SUNNY", "-i", "--channel", "messages") == hits
    assert len(run_json("grep", filled, "sunny", "--limit", "1")) == 1
    assert "messages[2].content: sunny" in run("grep", filled, "sunny").stdout
    assert run("grep", filled, "no such text", status=1).stdout == ""
    assert run("grep", filled, "sunny", "--thread", "delta", status=1).stdout == ""


def test_stats_adds_up(filled: Path) -> None:
    (totals,) = run_json("stats", filled, "--values")
    threads = run_json("threads", filled)
    assert totals["threads"] == len(threads)
    assert totals["checkpoints"] == sum(one["checkpoints"] for one in threads)
    assert totals["bytes"] == sum(one["bytes"] for one in threads)
    assert sum(day["threads"] for day in totals["growth"]) == len(threads)
    assert totals["largest"][0]["bytes"] == max(one["bytes"] for one in threads)
    assert totals["ratio"] > 1
    assert "saved by sharing and compression" in run("stats", filled, "--values").stdout
    assert run_json("stats", filled)[0]["value_bytes"] is None
