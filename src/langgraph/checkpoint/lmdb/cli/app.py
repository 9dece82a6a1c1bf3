"""The command group, which imports a command when it runs, and the STORE argument."""

import os
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from langgraph.checkpoint.lmdb.cli.table import COMMANDS, GROUPS, NAME, module_of

STORE_VARIABLE = "LANGGRAPH_LMDB_STORE"

CommandError = typer.BadParameter.__mro__[2]
"""Error of a command line. Newer releases of typer have a copy of click, older ones use click."""
Abort, Exit = typer.Abort, typer.Exit


class StoreCommand(TyperCommand):
    """A command whose argument `store`, if it has one, may be named by LANGGRAPH_LMDB_STORE."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, without the argument STORE if the environment names it."""
        params: list[Any] = super().get_params(ctx)
        if os.environ.get(STORE_VARIABLE):
            return [param for param in params if param.name != "store"]
        return params

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        if any(param.name == "store" for param in self.params):
            ctx.params.setdefault("store", os.environ.get(STORE_VARIABLE))
        return super().invoke(ctx)


class LazyGroup(TyperGroup):
    """A group of the commands of the table. A command is imported when it is looked up."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(GROUPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return a command; None if it does not exist."""
        return load(cmd_name) if cmd_name in GROUPS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the commands with their help, by group."""
        for group, commands in COMMANDS.items():
            with formatter.section(group):
                formatter.write_dl(list(commands.items()))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - takes long to import

        typer.echo(f"{NAME} {version(NAME)}")
        raise typer.Exit


def load(name: str) -> Any:
    """Return a command of the table."""
    module = import_module(f"{__package__}.commands.{module_of(name)}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=StoreCommand)(module.command)
    return typer.main.get_command(app)


def group() -> Any:
    """Return the group of all commands."""
    app = typer.Typer(
        name=NAME,
        cls=LazyGroup,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=(
            "STORE is the folder of a store, or a connection string of PostgreSQL. Leave it out "
            f"where {STORE_VARIABLE} names it. The key of an encrypted store is read from "
            "LANGGRAPH_AES_KEY. Exit status: 0 done, 1 the answer is no or a problem was found, "
            "2 the command could not run, 130 after Ctrl-C."
        ),
    )
    app.callback()(_about)
    return typer.main.get_command(app)


def _about(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """See what the threads of a store hold, and look after the store."""
