"""A property-based conformance suite for ordered, transactional key-value stores.

The interface is `langgraph.checkpoint.lmdb.kv.KeyValueStore`.

```python
from saver_conformance.kv import KeyValueSpec, check

check(KeyValueSpec("mine", open=lambda folder: MyStore(folder / "store")))
```
"""

from saver_conformance.kv.checks import CHECKS
from saver_conformance.kv.runner import check, run_checks
from saver_conformance.kv.spec import KeyValueSpec

__all__ = ["CHECKS", "KeyValueSpec", "check", "run_checks"]
