"""The table of commands, for help and completion, without importing the commands."""

from __future__ import annotations

from keyword import iskeyword
from typing import Final

NAME: Final = "langgraph-lmdb"

COMMANDS: Final[dict[str, dict[str, str]]] = {
    "Look": {
        "threads": "List the threads of a store.",
        "history": "List a checkpoint and its ancestors.",
        "tree": "Draw the checkpoints of a thread as branches.",
        "show": "Show a checkpoint: messages, channels, pending writes, interrupts.",
        "diff": "Show what differs between two checkpoints.",
        "watch": "Print a line for each thread that changes, until Ctrl-C.",
        "grep": "Search the values of a store for a pattern.",
        "stats": "Show sizes, growth and the largest threads of a store.",
        "serve": "Show a store on a page in the browser, until Ctrl-C.",
    },
    "Act": {
        "runs": "Report on the runs of a store: runs per state, stuck runs, durations.",
        "resume": "Resume one run under its lock.",
        "recover": "Resume the runs that a crash interrupted.",
        "fork": "Create a thread from a checkpoint of another one.",
        "copy": "Copy a thread.",
        "set-ttl": "Set the time after which an idle thread expires.",
        "sweep": "Delete what has expired.",
        "prune": "Delete old checkpoints of threads.",
        "delete": "Delete threads.",
    },
    "Look after": {
        "export": "Print the threads of a store as lines of JSON.",
        "import": "Store the threads of a lossless export.",
        "verify": "Check a store, and repair it.",
        "recover-pages": "Copy the readable records of a store with damaged pages.",
        "backup": "Copy a store that is in use to a new folder.",
        "doctor": "Examine a store and its surroundings, and say what to do.",
        "compact": "Return unused space to the file system.",
        "migrate": "Copy the threads of one saver to another one.",
    },
}
"""Commands with one line of help, by group."""

GROUPS: Final[dict[str, str]] = {
    name: group for group, commands in COMMANDS.items() for name in commands
}
"""Group of each command."""


def module_of(name: str) -> str:
    """Return the name of a command's module."""
    return f"{name.replace('-', '_')}{'_' if iskeyword(name) else ''}"
