"""Run the command line interface with `python -m saver_conformance`."""

from saver_conformance.cli import main

main()
