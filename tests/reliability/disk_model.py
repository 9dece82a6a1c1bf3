"""A model of a disk: the images that a power cut may leave after writes and flushes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.reliability import shim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from tests.reliability.shim import Call

PAGE, SECTOR = 4096, 512
_ZEROS = bytes(PAGE)


@dataclass
class Disk:
    """A file, as its readers see it and as the disk may hold it.

    Until a flush, the disk may hold any version of a page since the flush before, torn at any
    sector. After a failed flush the kernel treats the pages as clean, so later flushes do not write
    them either.

    Attributes:
        settled: Versions of each page that the disk may hold after the next flush.
        pending: Versions of each page since the last flush, oldest first. Readers see the last.
        lengths: Lengths of the file since the last flush, oldest first. Readers see the last.
    """

    settled: dict[int, list[bytes]] = field(default_factory=dict)
    pending: dict[int, list[bytes]] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=lambda: [0])

    def apply(self, call: Call) -> None:
        """Apply a recorded call."""
        if call.kind == shim.WRITE:
            self._write(call)
        elif call.kind == shim.FLUSH:
            self._flush(list(self.pending), failed=bool(call.error))
        elif call.kind == shim.CUT and not call.error:
            for page in self.settled.keys() | self.pending.keys():
                if page * PAGE >= call.offset:
                    self.pending.setdefault(page, []).append(_ZEROS)
            self.lengths.append(call.offset)

    def images(self, random: Random, samples: int) -> Iterator[bytes]:
        """Yield images that a power cut may leave.

        These are the image without pending pages, the image with all, images with all except one
        and with only one (for at most `samples` pages), and `samples` random ones.
        """
        open_pages = sorted(page for page in self._pages() if len(self._versions(page)) > 1)
        last = {page: len(self._versions(page)) - 1 for page in open_pages}
        yield self._image(dict.fromkeys(open_pages, 0), min(self.lengths))
        if not open_pages and len(self.lengths) == 1:
            return
        yield self._image(last, self.lengths[-1])
        for page in random.sample(open_pages, min(samples, len(open_pages))):
            yield self._image({**last, page: 0}, self.lengths[-1])
            yield self._image({**dict.fromkeys(open_pages, 0), page: last[page]}, max(self.lengths))
        for _ in range(samples):
            chosen = {page: random.randint(0, last[page]) for page in open_pages}
            torn = {
                page: random.randrange(1, PAGE // SECTOR)
                for page in open_pages
                if random.random() < 0.3
            }
            yield self._image(chosen, random.choice(self.lengths), torn)

    def _write(self, call: Call) -> None:
        if not call.data:
            return
        first, end = call.offset // PAGE, call.offset + len(call.data)
        pages = range(first, (end + PAGE - 1) // PAGE)
        for page in pages:
            old = self._versions(page)[-1]
            start = max(call.offset - page * PAGE, 0)
            stop = min(end - page * PAGE, PAGE)
            new = call.data[page * PAGE + start - call.offset : page * PAGE + stop - call.offset]
            self.pending.setdefault(page, []).append(old[:start] + new + old[stop:])
        if end > self.lengths[-1]:
            self.lengths.append(end)
        if call.durable:
            self._flush(pages, failed=bool(call.error))

    def _flush(self, pages: Iterable[int], *, failed: bool) -> None:
        for page in pages:
            versions = self.pending.pop(page, [])
            if versions:
                before = self.settled.get(page, [_ZEROS]) if failed else []
                self.settled[page] = [*before, *versions] if failed else versions[-1:]
        if not failed:
            self.lengths = self.lengths[-1:]

    def _pages(self) -> set[int]:
        return self.settled.keys() | self.pending.keys()

    def _versions(self, page: int) -> list[bytes]:
        return self.settled.get(page, [_ZEROS]) + self.pending.get(page, [])

    def _image(
        self, chosen: dict[int, int], length: int, torn: dict[int, int] | None = None
    ) -> bytes:
        """Return the file with the chosen version of each page.

        A torn page has its first sectors from the chosen version, and the rest from the version
        before.
        """
        image = bytearray(max(self.lengths))
        for page in self._pages():
            versions, number = self._versions(page), chosen.get(page, -1)
            data = versions[number]
            if torn and page in torn and number:
                at = torn[page] * SECTOR
                data = data[:at] + versions[number - 1][at:]
            image[page * PAGE : (page + 1) * PAGE] = data
        return bytes(image[:length])


class Image(NamedTuple):
    """The files of a store that a power cut may leave; None: the file is missing."""

    data: bytes
    log: bytes | None
    counters: bytes | None


@dataclass
class Folder:
    """The files of a store: the data file, the log, and the counters that are never flushed.

    The counters may have any values that they had since they were created, or zeros.

    Attributes:
        data: The data file.
        logs: The logs that may be at the path, oldest first. Readers see the last. None: no file.
        new_log: The log that is being created.
        counters: Values of the counters so far. None: no file.
    """

    data: Disk = field(default_factory=Disk)
    logs: list[Disk | None] = field(default_factory=lambda: [None])
    new_log: Disk = field(default_factory=Disk)
    counters: list[bytes | None] = field(default_factory=lambda: [None, bytes(PAGE)])

    def apply(self, call: Call) -> None:
        """Apply a recorded call."""
        if call.file == shim.DATA:
            self.data.apply(call)
        elif call.file == shim.NEW_LOG:
            self.new_log.apply(call)
        elif call.file == shim.COUNTERS:
            self.counters.append(call.data.ljust(PAGE, b"\0"))
        elif call.file == shim.FOLDER:
            if not call.error:
                self.logs = self.logs[-1:]
        elif call.kind == shim.RENAME:
            self.logs.append(self.new_log)
            self.new_log = Disk()
        elif call.kind == shim.REMOVE:
            self.logs.append(None)
        elif self.logs[-1] is not None:
            self.logs[-1].apply(call)

    def images(self, random: Random, samples: int) -> Iterator[Image]:
        """Yield images that a power cut may leave, as `Disk.images` does for each file."""
        every_data = list(self.data.images(random, samples))
        every_log: list[bytes | None] = []
        for log in self.logs:
            every_log += [None] if log is None else log.images(random, samples)
        for data in every_data:
            yield Image(data, random.choice(every_log), random.choice(self.counters))
        for log_image in every_log:
            yield Image(random.choice(every_data), log_image, random.choice(self.counters))
