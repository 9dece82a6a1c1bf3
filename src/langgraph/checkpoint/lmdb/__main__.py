"""`python -m langgraph.checkpoint.lmdb verify PATH`: check a store, and repair it."""

from __future__ import annotations

import sys

from langgraph.checkpoint.lmdb.checking import main

if __name__ == "__main__":
    sys.exit(main())
