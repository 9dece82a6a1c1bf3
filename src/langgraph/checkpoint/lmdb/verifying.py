"""Whether a store is as it was stored, and what can be kept of one that is not.

Each method has an asynchronous twin, which leaves the loop free: another thread does the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.kv import workers
from langgraph.checkpoint.lmdb.verification.repair import repair as repair_store
from langgraph.checkpoint.lmdb.verification.verify import verify as verify_store

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Progress
    from langgraph.checkpoint.lmdb.models import VerifyReport
    from langgraph.checkpoint.lmdb.operations.session import Session


class Verifying(BaseCheckpointSaver[Any]):
    """The methods that check and repair the store, on what the saver brings."""

    _kv: KeyValueStore

    @property
    def _session(self) -> Session:
        raise NotImplementedError

    def verify(self, *, repair: bool = False, progress: Progress | None = None) -> VerifyReport:
        """Check all that is stored: pages, records, references in both directions, indexes, counts.

        Everybody may go on meanwhile: each thread is checked as it is at one moment, and what
        others write raises no false alarm. Only the check of the pages is one long read, for which
        deleted room is not used again. It needs lmdb 3.0 or later; the report says if it was left
        out. Where pages are damaged, records are neither checked nor repaired, since LMDB may end
        the process that reads them. Values are not decoded.

        A repair makes all indexes and counts again from the records. What cannot be read, or needs
        what cannot, is taken out and put into a new file beside the store first,
        `quarantine-<n>.jsonl`, as the bytes that it was. A checkpoint of which anything is damaged
        goes as a whole, with its pending writes; its children stay. Where channels are rebuilt
        from what is gone, asking for their history raises DamagedError from then on. A repair that
        is cut short is finished by the next.

        Of threads that were deleted nothing goes into that file. Deleting threads later does not
        reach it: delete the file when it is of no more use.

        Args:
            repair: Repair what is wrong.
            progress: Called with how many threads were checked and how many there are. It must not
                use savers on this store.

        Returns:
            What was found, and what became of it: `ok`, `problems`, `lost`, `to_dict()`.

        Raises:
            FormatVersionError: A newer release wrote some of the records that are to be repaired.
            ReadOnlyError: A store that was opened for reading is to be repaired.
            StoreFullError: There is no room for the quarantine.
        """
        validation.flag(repair, "repair")
        validation.optional_function(progress, "progress")
        if repair:
            return repair_store(self._kv, self._session.store.options, progress)
        return verify_store(self._kv, progress)

    async def averify(
        self, *, repair: bool = False, progress: Progress | None = None
    ) -> VerifyReport:
        """As `verify`; `progress` is called in another thread."""
        return await workers.call(self.verify, repair=repair, progress=progress)
