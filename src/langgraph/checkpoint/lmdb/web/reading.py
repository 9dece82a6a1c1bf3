"""One thread: its branches beside one of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.views.diffs import diff
from langgraph.checkpoint.lmdb.views.messages import MessageView, conversation
from langgraph.checkpoint.lmdb.views.steps import StepView, step_of
from langgraph.checkpoint.lmdb.views.stores import config_of, find_step
from langgraph.checkpoint.lmdb.views.trees import NamespaceTree, tree_of
from langgraph.checkpoint.lmdb.web.addresses import number, params_of, thread_id_of
from langgraph.checkpoint.lmdb.web.branches import draw
from langgraph.checkpoint.lmdb.web.rendering import render
from langgraph.checkpoint.lmdb.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from langgraph.checkpoint.lmdb import KvSaver

_STEPS = 100
"""Steps of the tree that are sent first."""
_MOST_STEPS = 1000
_MESSAGES = 20
_MOST_MESSAGES = 100_000
_ABOVE = 20
"""Steps that are shown above the chosen one."""


@dataclass(frozen=True)
class Talk:
    """The last messages of a channel."""

    channel: str
    count: int
    """Messages of the channel."""
    messages: list[tuple[int, MessageView]]
    """Messages that are shown, with the position of each."""


def thread(request: Request) -> Response:
    """Return the page of a thread, at the step that the request names or at the latest."""
    site, params = site_of(request), params_of(request)
    thread_id = thread_id_of(site.saver, params)
    namespace, at = params.get("ns", ""), params.get("at")
    found = find_step(site.saver, thread_id, at, namespace)
    chosen = found.checkpoint["id"]
    step = step_of(site.saver, found)
    can_resume = site.allow_changes and site.graph is not None
    parent, problem = _parent_of(site.saver, step)
    trees = site.memory.get(tree_of, thread_id)
    tree = next((tree for tree in _every(trees) if tree.namespace == namespace), None)
    nodes = [] if tree is None else tree.nodes
    row = next((row for row, node in enumerate(nodes) if node.checkpoint_id == chosen), 0)
    top = number(params, "top", max(0, row - _ABOVE) if row >= _STEPS else 0, len(nodes))
    count = number(params, "steps", _STEPS, _MOST_STEPS) or _STEPS
    shown = number(params, "messages", _MESSAGES, _MOST_MESSAGES) or _MESSAGES
    return render(
        request,
        "thread.html",
        thread_id=thread_id,
        namespace=namespace,
        at=at,
        chosen=chosen,
        compare=params.get("compare"),
        drawing=draw(nodes, top, count, chosen),
        node=nodes[row] if nodes else None,
        roots=[one for one in trees if one.namespace != namespace],
        step=step,
        changes=[] if problem else diff(parent, step),
        problem=problem,
        talks=list(_talks(step, shown)),
        shown=shown,
        can_resume=can_resume and step.state in ("failed", "stalled"),
        can_answer=can_resume and step.state == "waiting",
        outcome=site.resumptions.outcome(thread_id) if step.is_latest else None,
    )


def _every(trees: Iterable[NamespaceTree]) -> Iterator[NamespaceTree]:
    for tree in trees:
        yield tree
        for node in tree.nodes:
            yield from _every(node.subgraphs)


def _parent_of(saver: KvSaver, step: StepView) -> tuple[StepView | None, LmdbSaverError | None]:
    """Return the parent of a step, or the error that stops it from being read."""
    if step.parent_id is None:
        return None, None
    try:
        found = saver.get_tuple(config_of(step.thread_id, step.parent_id, step.namespace))
        return None if found is None else step_of(saver, found), None
    except LmdbSaverError as error:
        return None, error


def _talks(step: StepView, shown: int) -> Iterator[Talk]:
    for channel in step.channels:
        messages = conversation(channel.value)
        if messages is not None:
            first = max(0, len(messages) - shown)
            yield Talk(channel.name, len(messages), [*enumerate(messages)][first:])
