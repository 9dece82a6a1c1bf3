"""Checks that the records of one thread agree with each other, and with other threads' records."""

from __future__ import annotations

from functools import partial

from langgraph.checkpoint.lmdb.engine import (
    garbage,
    layers,
    namespaces,
    states,
    tally,
    thread_record,
    threads,
    time_index,
)
from langgraph.checkpoint.lmdb.engine.options import StateOf
from langgraph.checkpoint.lmdb.engine.tally import Tally
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.format.keys import Kind, NamespaceRef
from langgraph.checkpoint.lmdb.format.ranges import ChunkSet
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.verification import index_check, kinds
from langgraph.checkpoint.lmdb.verification.thread_check import CheckpointKey, ThreadCheck


def check_thread(reader: Reader, number: int, state_of: StateOf) -> ThreadCheck:
    """Check all records of a thread, and what other threads share with it."""
    check = ThreadCheck(reader, number)
    check.read_records()
    _check_children(check)
    shared = _read_shared_refs(check)
    being_deleted = reader.raw(keys.tombstone(number)) is not None
    if being_deleted:
        _check_tombstone(check)
    elif check.live:
        if check.thread is not None and not check.has_unreadable:
            _check_records(check, check.thread)
            if check.is_layer:
                _check_users(check)
            else:
                _check_thread_record(check, check.thread)
                _check_state(check, check.thread, state_of)
    elif check.checkpoints or check.used or check.names or check.unnamed_namespaces:
        check.add_problem(kinds.ORPHAN, "the thread has records, but no record of its own")
    if not check.has_unreadable:
        _check_chunks(check, shared, being_deleted=being_deleted)
    return check


def _check_children(check: ThreadCheck) -> None:
    """Check that the entries of the index of children lead to children."""
    prefix = keys.of_thread(Kind.CHILD, check.number)
    for key in check.reader.keys(prefix, keys.prefix_end(prefix)):
        if _is_stale_child(check, key, len(prefix)):
            text = "the index of children leads to a missing checkpoint or one with another parent"
            check.add_problem(kinds.STALE_INDEX, text, key)


def _is_stale_child(check: ThreadCheck, key: bytes, at: int) -> bool:
    try:
        number, at = keys.read_number(key, at)
        empty = check.reader.get(key) == b""
    except IntegrityError:
        return True
    parent_hash, part = key[at : at + keys.HASH_SIZE], key[at + keys.HASH_SIZE :]
    checkpoint_key = CheckpointKey(NamespaceRef(check.number, number), part)
    entry = check.checkpoints.get(checkpoint_key)
    if entry is None:
        if part:
            check.missing.add(checkpoint_key)
        return True
    if not entry.readable:
        return not empty
    return not empty or entry.parent is None or keys.hash64(entry.parent) != parent_hash


def _read_shared_refs(check: ThreadCheck) -> ChunkSet | None:
    """Return the thread's chunks that other threads use, or None if that is unreadable."""
    reader, prefix = check.reader, keys.shared_refs(check.number)
    shared, complete = ChunkSet(), True
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        try:
            user, end = keys.read_number(key, len(prefix))
            shared.add(garbage.load_ranges(key, reader.get(key) or b""))
        except IntegrityError as error:
            check.add_error(error, "the references of another thread are unreadable", key)
            complete = False
            continue
        if end == len(key) and not _may_use(reader, user, check.number):
            text = "chunks are kept for a thread that does not use them"
            check.add_problem(kinds.SHARED_REFS_MISMATCH, text, key)
    return shared if complete else None


def _may_use(reader: Reader, user: int, owner: int) -> bool:
    """Return True if a thread's record names the owner of shared chunks, or is unreadable."""
    for key in (keys.thread_number(user), keys.layer(user), keys.tombstone(user)):
        try:
            record = reader.get(key)
            if record is not None:
                return owner in thread_record.decode(key, record).shared_owners
        except IntegrityError:
            return True
    return False


def _check_tombstone(check: ThreadCheck) -> None:
    key = keys.tombstone(check.number)
    try:
        thread_record.decode(key, check.reader.get(key) or b"")
    except IntegrityError as error:
        check.add_error(error, "the tombstone of a deleted thread is unreadable", key)
    if check.live:
        check.add_problem(kinds.SHARED_REFS_MISMATCH, "the thread is both live and deleted", key)


def _check_records(check: ThreadCheck, thread: Thread) -> None:
    """Compare the record of a thread or layer with the records under its number."""
    key = check.key
    size = check.total_size()
    if thread.size != size:
        text = f"the thread's size in bytes is {size}, but its record has {thread.size}"
        check.add_problem(kinds.WRONG_COUNT, text, key)
    owners = check.values.needed.owners() - {thread.number}
    known = {layer.number for layer in thread.layers} | _owners_of_layers(check, thread)
    wrong = thread.shared_owners != sorted(owners - known)
    if check.is_layer:  # what it uses of layers, they keep
        wrong = not owners >= {*thread.shared_owners}
    if wrong:
        text = (
            f"the thread's list of threads whose chunks it uses is {sorted(owners)}, "
            f"but its record has {thread.shared_owners}"
        )
        check.add_problem(kinds.WRONG_COUNT, text, key)
    if any(number >= thread.next_segment for number in check.chunks.segment_numbers(thread.number)):
        check.add_problem(kinds.WRONG_COUNT, "the thread's segment counter is too low", key)
    _check_namespaces(check, thread)
    for owner in owners - known if not check.is_layer else thread.shared_owners:
        _check_shared_ref(check, owner)


def _owners_of_layers(check: ThreadCheck, thread: Thread) -> set[int]:
    """Return the threads whose chunks the layers of a thread use."""
    found: set[int] = set()
    for layer in thread.layers:
        try:
            record = threads.read_layer(check.reader, layer.number)
        except IntegrityError:
            continue  # reported where the layer is checked
        found.update(() if record is None else record.shared_owners)
    return found


def _check_users(check: ThreadCheck) -> None:
    """Check that threads show a layer, and that the records of its users lead to these threads."""
    prefix = keys.layer_users(check.number)
    found = [*check.reader.keys(prefix, keys.prefix_end(prefix))]
    for key in found:
        try:
            user, _ = keys.read_number(key, len(prefix))
            thread = threads.read(check.reader, user)
            uses = thread is not None and check.number in (row.number for row in thread.layers)
        except IntegrityError:
            continue  # reported where the thread is checked
        if not uses:
            text = "a layer is kept for a thread that does not show it"
            check.add_problem(kinds.SHARED_REFS_MISMATCH, text, key)
    if not found:
        check.add_problem(kinds.ORPHAN, "no thread shows the layer", check.key)


def _check_thread_record(check: ThreadCheck, thread: Thread) -> None:
    """Compare the record of a thread with what the thread shows."""
    key = check.key
    _check_layers(check, thread)
    found = check.tally() if not thread.layers else _count(check, thread)
    if found is None:
        return
    oldest, line = thread.oldest, thread.line
    if line is not None and line != found.line:
        text = f"the thread's greatest id outside of its line is {found.line!r}, not {line!r}"
        check.add_problem(kinds.WRONG_COUNT, text, key)
    is_part = any(layer.last is not None for layer in thread.layers)
    if is_part and None not in (oldest, found.oldest) and (oldest or 0) <= (found.oldest or 0):
        oldest = found.oldest  # a thread that shows a part of a layer may have an earlier time
    for what, recorded, stored in (
        ("number of checkpoints", thread.checkpoints, found.checkpoints),
        ("number of pending writes", thread.writes, found.writes),
        ("number of writes without a checkpoint", thread.early, found.early),
        ("time of the oldest checkpoint", oldest, found.oldest),
    ):
        if recorded != stored:
            text = f"the thread's {what} is {stored}, but its record has {recorded}"
            check.add_problem(kinds.WRONG_COUNT, text, key)
    if not 0 <= thread.updated - thread.indexed_at < time_index.INDEX_LAG_MS:
        text = "the thread's time in the time index is too far from its last activity"
        check.add_problem(kinds.WRONG_COUNT, text, key)
    _check_index_entries(check, thread)


def _check_layers(check: ThreadCheck, thread: Thread) -> None:
    """Check that the layers of a thread are stored, and that they are kept for it."""
    for position, layer in enumerate(thread.layers):
        key = keys.layer(layer.number)
        try:
            record = threads.read_layer(check.reader, layer.number)
            if record is None:
                check.add_problem(kinds.MISSING, "a layer of the thread is missing", key)
                continue
            if record.size != layer.size:
                text = (
                    f"the layer has {record.size} bytes, but the thread's record has {layer.size}"
                )
                check.add_problem(kinds.WRONG_COUNT, text, check.key)
        except IntegrityError:
            continue  # reported where the layer is checked
        key = keys.layer_user(layer.number, thread.number)
        user = check.decode(key, partial(layers.decode_user, key))
        if user is not None and user != (position, layer._replace(size=0)):
            text = "a layer is kept for another part than the thread shows"
            check.add_problem(kinds.SHARED_REFS_MISMATCH, text, key)


def _count(check: ThreadCheck, thread: Thread) -> Tally | None:
    try:
        shown = namespaces.of_thread(check.reader, thread)
        found = tally.count(check.reader, thread)
    except IntegrityError:
        return None  # reported where the layer is checked
    for namespace in {row.number for _, row in shown} - {row.number for row in check.names}:
        _check_namespace_number(check, thread, namespace)
    return found


def _check_state(check: ThreadCheck, thread: Thread, state_of: StateOf) -> None:
    """Compare the state in the record of a thread with its latest root checkpoint.

    Nothing is compared if the state is left to readers, or if the checkpoint was stored with
    another serializer.
    """
    if thread.state == states.UNSETTLED:
        return
    try:
        state = states.current(check.reader, thread, state_of)
    except IntegrityError:
        return  # reported where the layer is checked
    if state is not None and state != thread.state:
        text = f"the thread's state is {state}, but its record has {thread.state}"
        check.add_problem(kinds.WRONG_COUNT, text, keys.thread_number(thread.number))


def _check_namespaces(check: ThreadCheck, thread: Thread) -> None:
    key = check.key
    if check.names.get(check.root) != "":
        check.add_problem(kinds.MISSING, "the thread has no root namespace", key)
    for namespace in sorted(check.used - check.names.keys()):
        check.add_problem(kinds.MISSING, f"namespace {namespace.number} has lost its name", key)
    if not check.used and not thread.layers:
        check.add_problem(kinds.ORPHAN, "the thread has no checkpoints and no writes", key)
    for namespace, name in sorted(check.names.items()):
        is_named_for_layers = thread.layers or check.is_layer
        if namespace not in check.used and namespace != check.root and not is_named_for_layers:
            text = "the namespace has no checkpoints and no writes"
            check.add_problem(kinds.ORPHAN, text, keys.namespace(thread.number, name))
        _check_namespace_number(check, thread, namespace.number)


def _check_namespace_number(check: ThreadCheck, thread: Thread, number: int) -> None:
    if number >= thread.next_namespace:
        text = f"the thread's namespace counter is too low for namespace {number}"
        check.add_problem(kinds.WRONG_COUNT, text, check.key)


def _check_index_entries(check: ThreadCheck, thread: Thread) -> None:
    name = keys.thread_id(thread.id)
    check.check_index_entries(
        [(entry, None) for entry in (name, *index_check.entries_of_thread(thread))]
    )
    if check.reader.raw(name) is not None and index_check.THREAD_IDS.is_stale(check.reader, name):
        check.add_problem(kinds.MISSING_INDEX, "the thread's id leads to another thread", name)


def _check_shared_ref(check: ThreadCheck, owner: int) -> None:
    """Check the record that keeps another thread's chunks for this one."""
    key = keys.shared_ref(owner, check.number)
    try:
        record = check.reader.get(key)
        ranges = [] if record is None else garbage.load_ranges(key, record)
    except IntegrityError:
        return  # reported where the owner is checked
    recorded = ChunkSet()
    recorded.add(ranges)
    if recorded.ranges() != check.values.needed.ranges(owner):
        text = "the thread's references to another thread's chunks differ from what it needs"
        check.add_problem(kinds.SHARED_REFS_MISMATCH, text, key)


def _check_chunks(check: ThreadCheck, shared: ChunkSet | None, *, being_deleted: bool) -> None:
    """Check that each chunk is needed, and that chunks only other threads need are recorded."""
    number, key = check.number, keys.orphaned_chunks(check.number)
    orphaned, readable = ChunkSet(), True
    try:
        record = check.reader.get(key)
        orphaned.add([] if record is None else garbage.load_ranges(key, record))
    except IntegrityError as error:
        check.add_error(error, "the list of chunks that only other threads use is unreadable", key)
        readable = False
    if shared is None or being_deleted:
        return
    needed = ChunkSet()
    needed.add(check.values.needed.ranges(number))
    if readable and orphaned.ranges() != shared.minus(needed).ranges(number):
        text = "the list of chunks that only other threads use is wrong"
        check.add_problem(kinds.SHARED_REFS_MISMATCH, text, key)
    needed.add(shared.ranges(number))
    for chunk_range in check.chunks.stored(number).minus(needed).ranges():
        text = f"{chunk_range.length} chunks from here on are not needed"
        first = keys.segment(number, chunk_range.segment) + keys.number(chunk_range.start)
        check.add_problem(kinds.ORPHAN, text, first)
