"""`python -m langgraph.checkpoint.lmdb`: the command line."""

from __future__ import annotations

import sys

from langgraph.checkpoint.lmdb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
