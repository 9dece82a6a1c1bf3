"""Coverage-guided fuzzing of all decoders, with atheris: `python -m tests.fuzz [-runs=N ...]`.

The options are the options of libFuzzer, for example `-max_total_time=600`. A failing input is
written to a file. Pass its name as an argument to run it again.
"""

from __future__ import annotations

import sys
from contextlib import suppress


def main() -> int:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["langgraph.checkpoint.lmdb", "msgpack"]):
        from langgraph.checkpoint.lmdb.errors import IntegrityError
        from tests.fuzz.decoders import DECODERS
    decoders = [*DECODERS.values()]

    def one(data: bytes) -> None:
        if data:
            with suppress(IntegrityError):
                decoders[data[0] % len(decoders)](data[1:])

    atheris.Setup([sys.argv[0], "-rss_limit_mb=1024", "-timeout=10", *sys.argv[1:]], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
