"""The branches of a namespace: lines of checkpoints."""

from __future__ import annotations

from collections import Counter

from langgraph.checkpoint.lmdb.engine import checkpoints, layers
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.models import Branch


def branches(reader: Reader, namespace: NamespaceRef) -> list[Branch]:
    """Return the branches of a namespace, by descending id of their tips.

    Reads the index of children and the keys of the checkpoints, but not their records.
    """
    parents = _parents(reader, namespace)
    counts = Counter(parent for parent in parents.values() if parent is not None)
    tips = sorted((i for i in parents if not counts[i]), key=keys.utf8, reverse=True)
    depths: dict[str, int] = {}
    return [_branch(tip, parents, counts, depths) for tip in tips]


def _branch(
    tip: str, parents: dict[str, str | None], counts: Counter[str], depths: dict[str, int]
) -> Branch:
    line: dict[str, None] = {}
    fork_point, length = None, 0
    current: str | None = tip
    while current is not None and current not in line:
        if fork_point is None and line and counts[current] > 1:
            fork_point, length = current, len(line)
        if current in depths:  # the rest of the line belongs to another branch as well
            break
        line[current] = None
        current = parents[current]
    depth = depths.get(current, 0) if current is not None else 0
    for checkpoint_id in reversed(line):
        depth += 1
        depths[checkpoint_id] = depth
    return Branch(tip, fork_point, length or len(line), depth)


def _parents(reader: Reader, namespace: NamespaceRef) -> dict[str, str | None]:
    """Return the parent of each checkpoint, or None for a parent that the store does not have."""
    reader = layers.merged(reader, namespace)
    prefix = keys.checkpoints(namespace)
    ids: dict[bytes, str] = {}
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        part = key[len(prefix) :]
        if keys.is_truncated(part):
            record = reader.get(key)
            assert record is not None, "seen just before, in the same transaction"
            ids[part] = checkpoints.decode(key, record).id
        else:
            ids[part] = keys.decoded(part, key)
    by_hash = {keys.hash64(checkpoint_id): checkpoint_id for checkpoint_id in ids.values()}
    parents: dict[str, str | None] = dict.fromkeys(ids.values())
    prefix = keys.of_namespace(keys.Kind.CHILD, namespace)
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        at = len(prefix) + keys.HASH_SIZE
        child = ids.get(key[at:])
        if child is not None:
            parents[child] = by_hash.get(key[len(prefix) : at])
    return parents
