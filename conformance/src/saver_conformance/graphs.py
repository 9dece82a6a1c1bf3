"""LangGraph graphs that run on a saver and on the model, and traces of the runs.

Each builder is self-contained, because a report prints its source. LangGraph evaluates the
annotations, so this module does not defer them.
"""

from typing import Any


def chain() -> Any:
    """Return a graph whose three nodes append to a list."""
    import operator
    from typing import Annotated, TypedDict

    from langgraph.graph import StateGraph

    class State(TypedDict):
        log: Annotated[list, operator.add]

    builder = StateGraph(State)
    builder.add_sequence([(n, lambda s, n=n: {"log": [f"{n}{len(s['log'])}"]}) for n in "abc"])
    builder.set_entry_point("a")
    return builder


def fan_out() -> Any:
    """Return a graph whose parallel tasks append their results in task order."""
    import operator
    from typing import Annotated, TypedDict

    from langgraph.graph import StateGraph
    from langgraph.types import Send

    class State(TypedDict):
        items: list
        log: Annotated[list, operator.add]

    builder = StateGraph(State)
    builder.add_node("work", lambda item: {"log": [item]})
    builder.add_node("plan", lambda state: {"log": ["plan"]})
    builder.add_node("join", lambda state: {"log": ["join"]})
    builder.set_entry_point("plan")
    builder.add_conditional_edges("plan", lambda s: [Send("work", i) for i in s["items"]], ["work"])
    builder.add_edge("work", "join")
    return builder


def tools() -> Any:
    """Return a graph whose parallel tools each raise an interrupt."""
    import operator
    from typing import Annotated, TypedDict

    from langgraph.graph import StateGraph
    from langgraph.types import Send, interrupt

    class State(TypedDict):
        items: list
        log: Annotated[list, operator.add]

    def tool(item):
        return {"log": [f"{item}: {interrupt(f'may I {item}?')}"]}

    builder = StateGraph(State)
    builder.add_node("plan", lambda state: {"log": ["plan"]})
    builder.add_node("tool", tool)
    builder.add_node("join", lambda state: {"log": ["join"]})
    builder.set_entry_point("plan")
    builder.add_conditional_edges("plan", lambda s: [Send("tool", i) for i in s["items"]], ["tool"])
    builder.add_edge("tool", "join")
    return builder


def nested(depth: int = 4, persistent: bool = False) -> Any:
    """Return nested subgraphs; the innermost raises an interrupt."""
    import operator
    from typing import Annotated, TypedDict

    from langgraph.graph import StateGraph
    from langgraph.types import interrupt

    class State(TypedDict):
        log: Annotated[list, operator.add]

    def ask(state):
        return {"log": [f"answer: {interrupt('what now?')}"]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.set_entry_point("ask")
    for level in range(depth):
        inner = builder.compile(checkpointer=True if persistent and level == 0 else None)
        builder = StateGraph(State)
        builder.add_node("before", lambda state, level=level: {"log": [f"before {level}"]})
        builder.add_node("inner", inner)
        builder.add_edge("before", "inner")
        builder.set_entry_point("before")
    return builder


def failing() -> Any:
    """Return a graph with an interrupt beside a finished task, then a node that fails once."""
    import operator
    from typing import Annotated, TypedDict

    from langgraph.graph import StateGraph
    from langgraph.types import interrupt

    class State(TypedDict):
        log: Annotated[list, operator.add]

    runs = {"work": 0, "bad": 0}

    def work(state):
        runs["work"] += 1
        return {"log": [f"work, run {runs['work']}"]}

    def ask(state):
        return {"log": [f"answer: {interrupt('continue?')}"]}

    def bad(state):
        runs["bad"] += 1
        if runs["bad"] == 1:
            raise ValueError("the first time fails")
        return {"log": [f"bad, run {runs['bad']}"]}

    builder = StateGraph(State)
    builder.add_node("start", lambda state: {"log": ["start"]})
    builder.add_node("work", work)
    builder.add_node("ask", ask)
    builder.add_node("bad", bad)
    builder.set_entry_point("start")
    builder.add_edge("start", "work")
    builder.add_edge("start", "ask")
    builder.add_edge(["work", "ask"], "bad")
    return builder


def delta(frequency: int = 3) -> Any:
    """Return a graph with a DeltaChannel that parallel tasks append to."""
    from typing import Annotated, TypedDict

    from langgraph.channels import DeltaChannel
    from langgraph.graph import StateGraph

    def append(state, writes):
        return [*state, *(item for write in writes for item in write)]

    class State(TypedDict):
        log: Annotated[list, DeltaChannel(append, snapshot_frequency=frequency)]

    builder = StateGraph(State)
    builder.add_node("start", lambda state: {"log": [f"start {len(state['log'])}"]})
    builder.add_node("left", lambda state: {"log": ["left"]})
    builder.add_node("right", lambda state: {"log": ["right"]})
    builder.set_entry_point("start")
    builder.add_edge("start", "left")
    builder.add_edge("start", "right")
    return builder


def outcome(state):
    """Return the result of an invocation, without parts that vary between runs."""
    # The ids of interrupts and the order of parallel tasks vary.
    waiting = sorted(i.value for i in state.get("__interrupt__", ()))
    return {**state, "__interrupt__": waiting} if waiting else state


def moment(state):
    """Return a snapshot of a graph's history in comparable form."""
    step = (state.metadata.get("source"), state.metadata.get("step"))
    waiting = [(task.name, [i.value for i in task.interrupts]) for task in state.tasks]
    return state.values, state.next, step, waiting


def play(saver, builder, steps, durability="sync"):
    """Run a graph step by step, and return the results and the history."""
    from langgraph.types import Command

    graph = builder.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "thread"}}
    trace = []
    for name, *args in steps:
        try:
            if name == "invoke":
                trace.append(outcome(graph.invoke(args[0], config, durability=durability)))
            elif name == "resume":
                trace.append(
                    outcome(graph.invoke(Command(resume=args[0]), config, durability=durability))
                )
            elif name == "answer":
                waiting = [i for task in graph.get_state(config).tasks for i in task.interrupts]
                answers = {i.id: f"yes to {i.value}" for i in waiting[: args[0]]}
                trace.append(
                    outcome(graph.invoke(Command(resume=answers), config, durability=durability))
                )
            elif name == "update":
                graph.update_state(config, args[0], as_node=args[1])
            elif name == "replay":
                past = list(graph.get_state_history(config))[args[0]]
                trace.append(outcome(graph.invoke(None, past.config, durability=durability)))
            elif name == "copy":
                saver.copy_thread("thread", "copy")
                config = {"configurable": {"thread_id": "copy"}}
            elif name == "prune":
                saver.prune(["thread"], strategy="keep_latest")
        except Exception as error:
            trace.append(type(error).__name__)
    for state in graph.get_state_history(config):
        trace.append(moment(state))
    return trace


async def aplay(saver, builder, steps, durability="sync"):
    """Run a graph step by step, and return the results and the history."""
    from langgraph.types import Command

    graph = builder.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "thread"}}
    trace = []
    for name, *args in steps:
        try:
            if name == "invoke":
                trace.append(outcome(await graph.ainvoke(args[0], config, durability=durability)))
            elif name == "resume":
                answer = Command(resume=args[0])
                trace.append(outcome(await graph.ainvoke(answer, config, durability=durability)))
            elif name == "answer":
                state = await graph.aget_state(config)
                waiting = [i for task in state.tasks for i in task.interrupts]
                answers = {i.id: f"yes to {i.value}" for i in waiting[: args[0]]}
                answer = Command(resume=answers)
                trace.append(outcome(await graph.ainvoke(answer, config, durability=durability)))
            elif name == "update":
                await graph.aupdate_state(config, args[0], as_node=args[1])
            elif name == "replay":
                past = [state async for state in graph.aget_state_history(config)][args[0]]
                trace.append(outcome(await graph.ainvoke(None, past.config, durability=durability)))
            elif name == "copy":
                await saver.acopy_thread("thread", "copy")
                config = {"configurable": {"thread_id": "copy"}}
            elif name == "prune":
                await saver.aprune(["thread"], strategy="keep_latest")
        except Exception as error:
            trace.append(type(error).__name__)
    async for state in graph.aget_state_history(config):
        trace.append(moment(state))
    return trace
