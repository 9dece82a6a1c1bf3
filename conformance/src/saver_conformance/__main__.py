"""`python -m saver_conformance`, the same as `saver-conformance`."""

from saver_conformance.cli import main

main()
