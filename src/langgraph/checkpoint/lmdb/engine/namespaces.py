"""Records of namespaces, which give names of any length the short numbers in keys."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.engine import layers, records
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import Kind, NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

_FIELD_TYPES = envelope.field_types(int, str)


def find(reader: Reader, thread: Thread, checkpoint_ns: str) -> NamespaceRef | None:
    """Return a thread's namespace, or None."""
    if not checkpoint_ns:
        return thread.root
    for number in (thread.number, *(layer.number for layer in thread.layers)):
        key = keys.namespace(number, checkpoint_ns)
        record = reader.get(key)
        if record is not None:
            return thread.namespace(decode(key, record)[1])
    return None


def ensure(writer: Writer, thread: Thread, checkpoint_ns: str) -> NamespaceRef:
    """Return a thread's namespace, made if needed; the caller saves the thread."""
    namespace = find(writer, thread, checkpoint_ns)
    is_new = namespace is None
    if namespace is None:
        namespace = thread.namespace(thread.next_namespace)
        thread.next_namespace += 1
    elif thread.layers:
        is_new = writer.get(keys.namespace(thread.number, checkpoint_ns)) is None
    if is_new:  # or only its layers have the name yet
        write(writer, namespace, checkpoint_ns)
    return namespace


def write(writer: Writer, namespace: NamespaceRef, checkpoint_ns: str) -> None:
    """Store the name and number of a namespace."""
    key = keys.namespace(namespace.thread, checkpoint_ns)
    records.put(writer, key, envelope.encode((namespace.number, checkpoint_ns)))


def of_thread(reader: Reader, thread: Thread) -> list[tuple[str, NamespaceRef]]:
    """List the names of a thread's namespaces with the namespaces."""
    found = own(reader, thread.number)
    if not thread.layers:
        return found
    numbers = {name: namespace.number for name, namespace in found}
    for layer in thread.layers:
        for name, namespace in own(reader, layer.number):
            numbers.setdefault(name, namespace.number)
    in_order = sorted(numbers.items(), key=lambda row: keys.text(row[0]))
    shown = [(name, thread.namespace(number)) for name, number in in_order]
    return [row for row in shown if not row[0] or _has_records(reader, row[1])]


def own(reader: Reader, number: int) -> list[tuple[str, NamespaceRef]]:
    """List the namespaces of a thread or layer by its number, but not of its layers."""
    prefix = keys.namespaces(number)
    found = (decode(*row) for row in reader.range(prefix, keys.prefix_end(prefix)))
    return [(name, NamespaceRef(number, namespace)) for name, namespace in found]


def _has_records(reader: Reader, namespace: NamespaceRef) -> bool:
    """Return True if a namespace shows checkpoints or pending writes."""
    shown = layers.merged(reader, namespace)
    prefixes = [keys.of_namespace(kind, namespace) for kind in (Kind.CHECKPOINT, Kind.WRITES)]
    return any(True for prefix in prefixes for _ in shown.keys(prefix, keys.prefix_end(prefix)))


def decode(key: bytes, record: bytes) -> tuple[str, int]:
    """Decode the name and number of a namespace.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    number, checkpoint_ns = envelope.decode_fields(key, record, _FIELD_TYPES)
    if number < 0:
        envelope.raise_damaged(key, "its number is negative")
    return checkpoint_ns, number
