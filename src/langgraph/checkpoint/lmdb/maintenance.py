"""What keeps a store in good order: copies of it, and room given back.

Each method has an asynchronous twin, which leaves the loop free: another thread does the work. A
call that is cancelled goes on to its end there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb import opening, validation
from langgraph.checkpoint.lmdb.kv import workers

if TYPE_CHECKING:
    import os

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Progress


class Maintenance:
    """The methods that see to the store as a whole, on the key-value store that the saver has."""

    _kv: KeyValueStore

    def backup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Copy the store, as it is at one moment, to a folder that is not there yet.

        Everybody may go on meanwhile, this process and others. When this returns, the copy is
        whole, on the disk, and its owner's alone. It has no free pages, so it may be smaller than
        the store. Restore it by opening it, or by giving it the place of a store that nobody has
        open.

        Until then there is a hidden folder beside `path`, named like it and ending in `.part`. An
        error or an interrupt takes it away; a process that is killed leaves it, to be deleted. It
        cannot be taken for a store.

        The copy is one long read: what is deleted while it lasts makes no room for what is written,
        so the store's file grows by all that is written meanwhile. `fork()` waits for it up to 30
        seconds, as for any read; a child that is forked later cannot use the savers it inherits.

        Args:
            path: The folder. Nothing is ever overwritten, not even an empty folder.
            progress: Called with the bytes written so far and the bytes in all. It must not use
                savers on this store. What it raises ends the backup.

        Raises:
            InvalidPathError: There is something at the path, or nothing can be made there.
            StoreFullError: There is no room for it.
            StoreIOError: Reading or writing failed; nothing is left of the copy.
            UsageError: The store is one in memory.
        """
        validation.optional_function(progress, "progress")
        self._kv.backup(opening.folder(path), progress)

    async def abackup(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """As `backup`; `progress` is called in another thread."""
        await workers.call(self.backup, path, progress)

    def compact(self) -> int:
        """Give the room that deletions left back to the file system, while everybody goes on.

        The file keeps its length and its free pages lose their blocks, so `du` shows what is gained
        and `ls -l` does not. Readers are not held up, writers for some milliseconds at a time.
        What a reader still sees stays: call it again later. Nothing is moved, and a process that
        is killed in the middle leaves the store as it was.

        Later commits that fill this room cost what commits cost that make the file longer. It pays
        after much was deleted, not after every deletion: new checkpoints use that room anyway.

        Returns:
            About how many bytes it was; others may have written meanwhile.

        Raises:
            UsageError: The file system cannot do it, or the store is one in memory.
            ReadOnlyError: The store was opened for reading.
        """
        return self._kv.compact()

    async def acompact(self) -> int:
        """As `compact`."""
        return await workers.call(self._kv.compact)
