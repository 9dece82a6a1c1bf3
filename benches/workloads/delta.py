"""The chat with a DeltaChannel: checkpoints contain no messages, reads replay the writes."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.channels import DeltaChannel
from typing_extensions import TypedDict

from benches.model import Bench, Result, Workload
from benches.workloads.chat import METRICS, QUICK_TURNS, TURNS, run_chat


def _extend(
    messages: list[AnyMessage] | None, writes: Sequence[list[AnyMessage]]
) -> list[AnyMessage]:
    return [*(messages or []), *chain.from_iterable(writes)]


class _State(TypedDict):
    messages: Annotated[list[AnyMessage], DeltaChannel[Any](_extend)]


def _run(bench: Bench) -> Result:
    return run_chat(bench, bench.size(TURNS, QUICK_TURNS), _State)


WORKLOAD = Workload("delta", f"DeltaChannel chat, {TURNS} turns", METRICS, _run)
