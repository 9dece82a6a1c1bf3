"""The tree of errors is public: its shape, its kinds, and pickled errors."""

from __future__ import annotations

import copy
import pickle

import pytest

from langgraph.checkpoint.lmdb import errors
from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    FormatVersionError,
    LmdbSaverError,
    SerializationError,
    StoreBusyError,
)
from langgraph.checkpoint.lmdb.workflows import errors as workflow_errors
from langgraph.checkpoint.lmdb.workflows.errors import WorkflowError

TREE = {
    "LmdbSaverError": ("error", "Exception"),
    "UsageError": ("usage", "LmdbSaverError", "ValueError"),
    "InvalidConfigError": ("invalid_config", "UsageError"),
    "InvalidPathError": ("invalid_path", "UsageError"),
    "SerializationError": ("serialization", "UsageError", "TypeError"),
    "ReadOnlyError": ("read_only", "UsageError"),
    "StoreClosedError": ("store_closed", "UsageError"),
    "ThreadNotFoundError": ("thread_not_found", "UsageError"),
    "CheckpointNotFoundError": ("checkpoint_not_found", "UsageError"),
    "ThreadDivergedError": ("thread_diverged", "UsageError"),
    "ThreadExistsError": ("thread_exists", "UsageError"),
    "MissingKeyError": ("missing_key", "UsageError"),
    "WrongKeyError": ("wrong_key", "UsageError"),
    "NotEncryptedError": ("not_encrypted", "UsageError"),
    "InvalidVersionError": ("invalid_version", "UsageError"),
    "NotASequenceError": ("not_a_sequence", "UsageError", "TypeError"),
    "NotCopyableError": ("not_copyable", "UsageError", "TypeError"),
    "RetryableError": ("retryable", "LmdbSaverError"),
    "StoreFullError": ("store_full", "RetryableError"),
    "StoreBusyError": ("store_busy", "RetryableError"),
    "StoreReplacedError": ("store_replaced", "RetryableError"),
    "TooManyReadersError": ("too_many_readers", "RetryableError"),
    "StoreIOError": ("store_io", "RetryableError"),
    "AlreadyRunningError": ("already_running", "RetryableError"),
    "LockHeldError": ("lock_held", "RetryableError"),
    "LockLostError": ("lock_lost", "RetryableError"),
    "DatabaseUnavailableError": ("database_unavailable", "RetryableError"),
    "WorkflowError": ("workflow", "LmdbSaverError"),
    "IntegrityError": ("integrity", "LmdbSaverError"),
    "DamagedError": ("damaged", "IntegrityError"),
    "PlaintextRecordError": ("plaintext_record", "DamagedError"),
    "FormatVersionError": ("format_version", "IntegrityError"),
    "DeserializationError": ("deserialization", "IntegrityError"),
}


def classes() -> list[type[LmdbSaverError]]:
    return [
        getattr(module, name) for module in (errors, workflow_errors) for name in module.__all__
    ]


def test_tree_is_as_published() -> None:
    found = {
        cls.__name__: (cls.kind, *(base.__name__ for base in cls.__bases__)) for cls in classes()
    }
    assert found == TREE


def test_no_two_classes_have_the_same_kind() -> None:
    kinds = [cls.kind for cls in classes()]
    assert len(set(kinds)) == len(kinds)
    assert all(kind.islower() and kind.replace("_", "").isalpha() for kind in kinds)


@pytest.mark.parametrize("cls", [cls for cls in classes() if cls is not WorkflowError])
def test_errors_survive_pickling_and_copying(cls: type[LmdbSaverError]) -> None:
    error = cls(
        "what happened",
        path="/store",
        thread_id="t",
        checkpoint_ns="",
        checkpoint_id="c",
        channel="messages",
        advice="Do this.",
    )
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is cls
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "error",
    [
        SerializationError("cannot encode a socket", channel="rows", inside="[3].owner"),
        DamagedError("checksum differs", record="value 17"),
        StoreBusyError("held", processes=[17, 18]),
        FormatVersionError("too new", found=9, supported=(1, 2)),
    ],
)
def test_attributes_of_a_class_survive_pickling(error: LmdbSaverError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_text_says_what_where_and_what_to_do() -> None:
    error = SerializationError(
        "cannot encode a socket",
        thread_id="t",
        checkpoint_ns="",
        channel="rows",
        inside="[3].owner",
    )
    assert str(error) == (
        "cannot encode a socket (thread_id 't', checkpoint_ns '', channel 'rows', "
        "inside '[3].owner'). " + SerializationError.default_advice
    )
    assert str(LmdbSaverError("plain")) == "plain"
