"""The stores that this process has open, as every copy of this package in it knows them.

LMDB opens a store once in a process. A module that was loaded again, and a second copy of the
package, know nothing of what the first has open. So the table is kept on LMDB's own module, for as
long as that is loaded: it gives a store's identity a function that closes the store until its next
use. The functions take and return nothing but what every version of the package understands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import lmdb

if TYPE_CHECKING:
    from collections.abc import Callable

    Yield = Callable[[], bool]

_NAME: Final = "_langgraph_checkpoint_lmdb_open_1"


def take(identity: tuple[int, int], let_go: Yield) -> bool:
    """Have another copy close a store that it has open, and note that this one opens it.

    Args:
        identity: The store's identity.
        let_go: Closes the store until its next use; returns whether it could.

    Returns:
        Whether no other copy has the store open any more.
    """
    open_stores = _open_stores()
    other = open_stores.get(identity)
    if other is not None and other != let_go and not other():
        return False
    open_stores[identity] = let_go
    return True


def give_up(identity: tuple[int, int], let_go: Yield) -> None:
    """Note that a store is closed, unless another copy has it by now."""
    open_stores = _open_stores()
    if open_stores.get(identity) == let_go:
        del open_stores[identity]


def _open_stores() -> dict[tuple[int, int], Yield]:
    return cast("dict[tuple[int, int], Yield]", lmdb.__dict__.setdefault(_NAME, {}))
