"""`doctor`: the condition of a store, and what to do about it."""

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.cli.exit_codes import DONE, NO
from langgraph.checkpoint.lmdb.cli.options import Json, Store
from langgraph.checkpoint.lmdb.diagnosis import Level, diagnose
from langgraph.checkpoint.lmdb.opening import folder_of

_STYLES: dict[Level, str] = {"ok": "green", "advice": "yellow", "risk": "bold red"}


def command(store: Store, as_json: Json = False) -> int:
    """Examine a store and its surroundings, and say what to do.

    Versions, files, file system, free space, disk, map, readers and locks. Writes nothing. The exit
    status is 1 if data is at risk.
    """
    findings = diagnose(folder_of(store, "doctor"))
    for found in findings:
        if as_json:
            output.print_json(found._asdict())
            continue
        text = output.line(
            (f"{found.level:<7}", _STYLES[found.level]), (found.topic, "bold"), f"  {found.text}"
        )
        output.show(text)
        if found.advice is not None:
            output.show(output.line(f"        {found.advice}"))
    return NO if any(found.level == "risk" for found in findings) else DONE
