"""Move threads between LangGraph savers.

`migrate` copies them; `CatchUpSaver` lets a service switch to another saver without a stop.
"""

from langgraph.checkpoint.lmdb.migrate.catch_up import CatchUpSaver
from langgraph.checkpoint.lmdb.migrate.migrating import amigrate, migrate
from langgraph.checkpoint.lmdb.migrate.models import (
    Difference,
    MigrationProgress,
    MigrationReport,
)

__all__ = [
    "CatchUpSaver",
    "Difference",
    "MigrationProgress",
    "MigrationReport",
    "amigrate",
    "migrate",
]
