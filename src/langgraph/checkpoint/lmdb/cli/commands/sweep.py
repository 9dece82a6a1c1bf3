"""`sweep`: what has expired, deleted."""

from dataclasses import asdict

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.confirmation import confirm
from langgraph.checkpoint.lmdb.cli.options import DryRun, Json, Store, Yes
from langgraph.checkpoint.lmdb.opening import label
from langgraph.checkpoint.lmdb.views import formats
from langgraph.checkpoint.lmdb.views.stores import open_store


def command(store: Store, dry_run: DryRun = False, yes: Yes = False, as_json: Json = False) -> None:
    """Delete what has expired.

    These are the threads whose own TTL has ended. The `ttl` of a saver is not known here.
    """
    if not dry_run:
        confirm(f"Delete the expired threads of {label(store)}?", yes=yes)
    with open_store(store, readonly=dry_run) as saver:
        report = saver.sweep(dry_run=dry_run)
    if as_json:
        output.print_json(asdict(report))
    else:
        verb = "would delete" if dry_run else "deleted"
        output.show(
            output.line(
                f"{verb}: {report.threads} threads, {report.checkpoints} checkpoints, "
                f"{formats.size(report.bytes)}"
            )
        )
