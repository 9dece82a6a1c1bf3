"""`show`: what one checkpoint holds."""

from typing import Annotated

import typer
from rich.text import Text

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.conversation import conversation_lines
from langgraph.checkpoint.lmdb.cli.options import Internal, Json, Namespace, Store, Thread
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.messages import conversation
from langgraph.checkpoint.lmdb.views.steps import ChannelView, StepView, step_of
from langgraph.checkpoint.lmdb.views.stores import find_address, open_store

_WIDTH = 200


def command(
    store: Store,
    thread: Thread,
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Id of the checkpoint, or its beginning or end; or the number of its step; or ~N, "
            "the Nth ancestor of the latest.",
        ),
    ] = None,
    namespace: Namespace = "",
    full: Annotated[bool, typer.Option("--full", help="Do not fold long values.")] = False,
    internal: Internal = False,
    as_json: Json = False,
) -> None:
    """Show a checkpoint: messages, channels, pending writes, interrupts.

    Without CHECKPOINT, the latest one of the thread.
    """
    with open_store(store) as saver:
        step = step_of(saver, find_address(saver, thread, checkpoint, namespace))
    if as_json:
        output.print_json(step.to_dict())
        return
    width = None if full else _WIDTH
    output.show(*_head(step))
    for channel in step.channels:
        if internal or not channel.is_internal:
            output.show(*_channel(channel, width))
    if step.writes:
        output.show("", output.line(("pending writes", "bold")))
        for write in step.writes:
            text = formats.folded(formats.value(write.value), width)
            task = formats.short_id(write.task_id)
            output.show(output.line(f"  {task} ", (write.channel, "bold"), f" {text}"))


def _head(step: StepView) -> list[Text]:
    ns = f" {step.namespace}" if step.namespace else ""
    lines = [
        output.line(
            (step.thread_id, "bold"),
            ns,
            f"  step {step.step}  {step.checkpoint_id}",
            ("  (latest)" if step.is_latest else "", "dim"),
        ),
        output.line(
            f"{formats.moment(step.created_at)}  source {step.source}  parent "
            + ("-" if step.parent_id is None else formats.short_id(step.parent_id))
        ),
    ]
    if step.state is not None:
        lines.append(Text.assemble("state ", output.state(step.state)))
    if step.next:
        lines.append(output.line(f"next {formats.names(step.next)}"))
    if step.error is not None:
        lines.append(output.line(("error ", "red"), step.error))
    lines += (
        output.line(("interrupt ", "yellow"), formats.value(interrupt.value))
        for interrupt in step.interrupts
    )
    return lines


def _channel(channel: ChannelView, width: int | None) -> list[Text]:
    messages = conversation(channel.value)
    mark = "*" if channel.changed else " "
    head = (f"\n{mark} {channel.name}", "bold")
    size = f"  {formats.size(channel.size)}"
    if messages is not None:
        size = f"  {len(messages)} messages,{size[1:]}"
    lines = [output.block(head, (size, "dim"))]
    if messages is not None:
        lines += conversation_lines(messages, width)
    elif channel.value is not None or channel.writes is None:
        lines.append(output.line(f"    {formats.folded(formats.value(channel.value), width)}"))
    for write in channel.writes or ():
        lines.append(output.line(("  + ", "green"), formats.folded(formats.value(write), width)))
    return lines
