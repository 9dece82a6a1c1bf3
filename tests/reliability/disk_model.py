"""What may be on a disk after a power cut, given what was written, flushed and told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.reliability import shim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from tests.reliability.shim import Call

PAGE, SECTOR = 4096, 512
_ZEROS = bytes(PAGE)


@dataclass
class Disk:
    """One file, as its writers see it and as the disk may have it.

    Until a flush, the disk has any of a page's versions since the last one, torn at any sector.
    A flush that fails settles nothing and never will: the system takes the pages for clean.

    Attributes:
        settled: By page: what the disk may have, whatever is flushed from now on.
        pending: By page: the versions since, oldest first; the last one is what a reader sees.
        lengths: Of the file, likewise: the last one is what a reader sees.
    """

    settled: dict[int, list[bytes]] = field(default_factory=dict)
    pending: dict[int, list[bytes]] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=lambda: [0])

    def apply(self, call: Call) -> None:
        """Do what a recorded call did."""
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
        """What a power cut may leave: nothing of what is pending, all of it, all but one page or
        one page alone (of at most `samples` pages each), and `samples` that are drawn."""
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
        """The file with a version of each page, of a torn one so many sectors over the one before;
        pages that are there lie within the file."""
        image = bytearray(max(self.lengths))
        for page in self._pages():
            versions, number = self._versions(page), chosen.get(page, -1)
            data = versions[number]
            if torn and page in torn and number:
                at = torn[page] * SECTOR
                data = data[:at] + versions[number - 1][at:]
            image[page * PAGE : (page + 1) * PAGE] = data
        return bytes(image[:length])
