"""The lease on background sweeping: one process at a time sweeps a store in the background."""

from __future__ import annotations

from types import NoneType
from typing import NamedTuple

from langgraph.checkpoint.lmdb.engine import records
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

LEASE_MS = 600_000
"""Milliseconds that a lease lasts, unless its holder releases it earlier. If a holder outlives its
lease, two processes sweep at the same time, which does no harm."""
_FIELD_TYPES = envelope.field_types(bytes, int, (int, NoneType))


class SweepLease(NamedTuple):
    """The record of the lease."""

    holder: bytes
    """Token of the process that holds the lease; empty: no process does."""
    expires: int
    """Milliseconds since the epoch."""
    last_sweep: int | None
    """End of the last complete sweep, in milliseconds since the epoch. None: there was none."""


def read(reader: Reader) -> SweepLease:
    """Return the lease.

    Raises:
        DamagedError: The record of the lease is damaged.
    """
    record = reader.get(keys.SWEEP_LEASE)
    if record is None:
        return SweepLease(b"", 0, None)
    return SweepLease(*envelope.decode_fields(keys.SWEEP_LEASE, record, _FIELD_TYPES))


def acquire(writer: Writer, token: bytes, now: int, interval: int) -> int:
    """Take the lease if a sweep is due and no other process holds it.

    Args:
        writer: The write transaction.
        token: Token of the process.
        now: Milliseconds since the epoch.
        interval: Milliseconds between two sweeps of a store.

    Returns:
        0 if the caller holds the lease now, else the milliseconds after which to ask again.
    """
    lease = read(writer)
    if lease.last_sweep is not None and lease.last_sweep <= now < lease.last_sweep + interval:
        return lease.last_sweep + interval - now
    if lease.holder != token and now < lease.expires <= now + LEASE_MS:
        return min(lease.expires - now, interval)
    _write(writer, SweepLease(token, now + LEASE_MS, lease.last_sweep))
    return 0


def release(writer: Writer, token: bytes, swept: int | None) -> None:
    """Give the lease back, unless another process has taken it.

    Args:
        writer: The write transaction.
        token: Token of the process.
        swept: End of the sweep in milliseconds since the epoch. None: the sweep was cut short.
    """
    lease = read(writer)
    if lease.holder == token:
        _write(writer, SweepLease(b"", 0, lease.last_sweep if swept is None else swept))


def _write(writer: Writer, lease: SweepLease) -> None:
    records.put(writer, keys.SWEEP_LEASE, envelope.encode(tuple(lease)))
