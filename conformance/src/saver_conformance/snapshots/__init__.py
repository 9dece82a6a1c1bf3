"""A property-based conformance suite for snapshot stores of ASAP's protocols, sync and async.

```python
from saver_conformance.snapshots import SnapshotStoreSpec, check

check(SnapshotStoreSpec("mine", open=lambda folder: MyStore(folder / "store")))
```
"""

from saver_conformance.snapshots.checks import CHECKS
from saver_conformance.snapshots.runner import CheckResult, SnapshotViolation, check, run_checks
from saver_conformance.snapshots.spec import GivenSnapshot, SnapshotStoreSpec

__all__ = [
    "CHECKS",
    "CheckResult",
    "GivenSnapshot",
    "SnapshotStoreSpec",
    "SnapshotViolation",
    "check",
    "run_checks",
]
