"""Both roots on the disk as they are in memory, where it is not certain that they are.

A write of a root that fails may have reached the disk all the same, while LMDB put the root before
back in memory. A flush that fails leaves what it did not write marked as written, so that no later
flush writes it. And a process may die between a write and its flush. In memory nothing of that is
seen, but the next commit takes pages that the root on the disk still needs: if the power went then,
the store would be damaged.
"""

from __future__ import annotations

import errno
import os


def rewrite_meta_pages(handle: int, page_size: int) -> None:
    """Write both roots as they are, and flush; called inside a write transaction.

    Args:
        handle: A descriptor of the data file.
        page_size: Bytes of a page of its.

    Raises:
        OSError: The disk does not take them. The store can be read, but not be written.
    """
    meta_pages = os.pread(handle, 2 * page_size, 0)
    if os.pwrite(handle, meta_pages, 0) < len(meta_pages):
        raise OSError(errno.EIO, "a write was cut short")
    os.fdatasync(handle)
