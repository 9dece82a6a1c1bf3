"""A property-based conformance suite for any LangGraph checkpoint saver."""

from saver_conformance.capability import Capability
from saver_conformance.clause import CLAUSES, Clause, Severity
from saver_conformance.profile import Profile
from saver_conformance.result import ClauseResult, Report, Status
from saver_conformance.runner import run
from saver_conformance.spec import KnownFailure, SaverSpec, load_spec
from saver_conformance.standalone import aopened, opened
from saver_conformance.violation import FailureKind

__all__ = [
    "CLAUSES",
    "Capability",
    "Clause",
    "ClauseResult",
    "FailureKind",
    "KnownFailure",
    "Profile",
    "Report",
    "SaverSpec",
    "Severity",
    "Status",
    "aopened",
    "load_spec",
    "opened",
    "run",
]
