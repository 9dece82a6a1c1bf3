"""The arguments and options that several commands share."""

from typing import Annotated

import typer

Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE", help="Folder or connection string of the store.", show_default=False
    ),
]
Thread = Annotated[
    str, typer.Argument(metavar="THREAD", help="Id of the thread.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: one object per line.")]
Namespace = Annotated[
    str, typer.Option("--namespace", metavar="NAMESPACE", help="Namespace of a subgraph.")
]
Prefix = Annotated[
    str | None, typer.Option("--prefix", metavar="TEXT", help="Beginning of the thread ids.")
]
Internal = Annotated[
    bool, typer.Option("--internal", help="Include channels that only start nodes.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would be.")]
Graph = Annotated[
    str,
    typer.Option(
        "--graph", metavar="MODULE:NAME", help="Graph of the runs, or a function that makes it."
    ),
]
NewThread = Annotated[
    str, typer.Argument(metavar="NEW_THREAD", help="Id of the new thread.", show_default=False)
]
