"""The exit statuses of the command line."""

from typing import Final

DONE: Final = 0
NO: Final = 1
"""The answer is no, or a problem was found."""
FAILED: Final = 2
"""The command could not run."""
INTERRUPTED: Final = 130
"""Ctrl-C ended the command."""
BROKEN_PIPE: Final = 141
"""The reader of the output closed the pipe."""
