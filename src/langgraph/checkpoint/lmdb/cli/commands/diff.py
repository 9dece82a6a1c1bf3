"""`diff`: what differs between two checkpoints."""

from typing import Annotated

import typer
from rich.text import Text

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.options import Internal, Json, Namespace, Store
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.diffs import Change, ChannelDiff, diff
from langgraph.checkpoint.lmdb.views.messages import message
from langgraph.checkpoint.lmdb.views.steps import StepView, step_of
from langgraph.checkpoint.lmdb.views.stores import config_of, find_address, open_store, parent_id

_WIDTH = 200
_SIGNS = {"added": ("+ ", "green"), "removed": ("- ", "red"), "changed": ("~ ", "yellow")}


def command(
    store: Store,
    before: Annotated[
        str,
        typer.Argument(metavar="A", help="THREAD or THREAD@CHECKPOINT.", show_default=False),
    ],
    after: Annotated[
        str | None,
        typer.Argument(metavar="B", help="The same. Left out: compare the parent of A with A."),
    ] = None,
    namespace: Namespace = "",
    full: Annotated[bool, typer.Option("--full", help="Do not fold long values.")] = False,
    internal: Internal = False,
    as_json: Json = False,
) -> None:
    """Show what differs between two checkpoints.

    Messages are compared by id, texts by word, nested values by path.
    """
    with open_store(store) as saver:
        old: StepView | None
        one = find_address(saver, before, namespace=namespace)
        if after is not None:
            old, new = (
                step_of(saver, one),
                step_of(saver, find_address(saver, after, None, namespace)),
            )
        else:
            new = step_of(saver, one)
            parent = None
            if parent_id(one) is not None:
                parent = saver.get_tuple(config_of(new.thread_id, parent_id(one), namespace))
            old = None if parent is None else step_of(saver, parent)
    found = diff(old, new, internal=internal)
    if as_json:
        output.print_json(
            {
                "before": None if old is None else old.to_dict(summary=True),
                "after": new.to_dict(summary=True),
                "channels": [channel.to_dict() for channel in found],
            }
        )
        return
    width = None if full else _WIDTH
    for channel in found:
        output.show(*_channel(channel, width))
    if not found:
        output.show(output.line("no channel differs"))


def _channel(channel: ChannelDiff, width: int | None) -> list[Text]:
    lines = [output.line((channel.name, "bold"), f" {channel.kind}")]
    for change in channel.changes:
        sign, style = _SIGNS[change.kind]
        path = change.path[len(channel.name) :].lstrip(".")
        lines.append(
            output.line((f"  {sign}", style), (f"{path} " if path else "", "bold"))
            + _content(change, width)
        )
    return lines


def _content(change: Change, width: int | None) -> Text:
    if change.words is not None:
        styles = {"same": "", "added": "green underline", "removed": "red strike"}
        signs = {"same": ("", ""), "added": ("{+", "+}"), "removed": ("[-", "-]")}
        text = Text()
        for kind, words in change.words:
            opening, closing = signs[kind]
            shown = words if kind != "same" else _shortened(words, width)
            text.append_text(output.line((f"{opening}{shown}{closing}", styles[kind])))
        return text
    if change.kind == "changed":
        old, new = _value(change.before, width), _value(change.after, width)
        return output.line((old, "red"), " -> ", (new, "green"))
    return output.line(_value(change.after if change.kind == "added" else change.before, width))


def _value(plain: object, width: int | None) -> str:
    one = message(plain)
    if one is None:
        return formats.folded(formats.value(plain), width)
    calls = [f"{call.name} {formats.value(call.arguments)}" for call in one.tool_calls]
    text = f"{one.role}: {one.text}" if one.text or not calls else one.role
    return formats.folded(" calls ".join([text, *calls]), width)


def _shortened(text: str, width: int | None) -> str:
    if width is None or len(text) <= width:
        return text
    return f"{text[: width // 2]} ... {text[-width // 2 :]}"
