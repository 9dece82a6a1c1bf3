"""Savers with an encryption key: files, keys, copies, and rotation in use."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.encryption import rotation
from langgraph.checkpoint.lmdb.encryption.key_source import ENV_VARIABLE
from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    MissingKeyError,
    NotEncryptedError,
    ReadOnlyError,
    StoreClosedError,
    UsageError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from tests.contract.driver import SaverDriver, config, put, values
from tests.encryption.stores import KEY, OTHER
from tests.engine import reachability
from tests.kv.processes import in_fork, in_new_process
from tests.stored import thread_ids

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "top-secret-text"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_VARIABLE, raising=False)


def open_store(path: Path, key: Any = KEY, **options: Any) -> LmdbSaver:
    return LmdbSaver(path, **{"sync": "off", "encryption_key": key, **options})


def fill(saver: LmdbSaver, count: int = 5, value: str = "value") -> None:
    """Store threads with one checkpoint each."""
    for number in range(count):
        put(SaverDriver(saver), "c1", {"text": f"{value} {number}"}, thread=f"t{number}")


def read(saver: LmdbSaver) -> dict[str, Any]:
    return {
        found.config["configurable"]["thread_id"]: found.checkpoint["channel_values"]["text"]
        for found in saver.list(None)
    }


def filled(count: int = 5, value: str = "value") -> dict[str, Any]:
    return {f"t{number}": f"{value} {number}" for number in range(count)}


class Cipher(CipherProtocol):
    """A cipher of the user's own."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(12)
        return "mine", nonce + AESGCM(OTHER).encrypt(nonce, plaintext, None)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "mine"
        return AESGCM(OTHER).decrypt(ciphertext[:12], ciphertext[12:], None)


def store_secrets(saver: LmdbSaver) -> None:
    """Store a secret in every argument that takes a text."""
    driver = SaverDriver(saver)
    for ns in ("", f"sub-{SECRET}"):
        long = [HumanMessage(f"{SECRET} {number} " * 40, id=str(number)) for number in range(50)]
        at = put(
            driver,
            "c1",
            {f"channel-{SECRET}": long, "text": SECRET},
            thread=f"thread-{SECRET}",
            ns=ns,
            **{"run_id": f"run-{SECRET}", f"key-{SECRET}": SECRET},
        )
        saver.put_writes(at, [("x", SECRET), ("__interrupt__", SECRET)], "task", f"path-{SECRET}")
        put(driver, "c2", {"text": SECRET}, thread=f"thread-{SECRET}", ns=ns, parent="c1")


@pytest.mark.parametrize("compression", [3, None])
def test_files_contain_no_secret(path: Path, compression: int | None) -> None:
    for key in (None, KEY):
        where = path / str(key is None)
        with open_store(where, key, compression=compression) as saver:
            store_secrets(saver)
            saver.copy_thread(f"thread-{SECRET}", f"copy-{SECRET}")
            saver.prune([f"thread-{SECRET}"])
            found = saver.list(None, filter={"run_id": f"run-{SECRET}"})
            assert {one.checkpoint["id"] for one in found} == {"c1"}
            saver.delete_for_runs([f"run-{SECRET}"])
            assert thread_ids(saver) == {f"thread-{SECRET}", f"copy-{SECRET}"}
            saver.delete_thread(f"copy-{SECRET}")
            reachability.check(saver._kv)
            log = (where / "log.mdb").read_bytes()
        data = (where / "data.mdb").read_bytes()
        for file in (data, log):
            assert (SECRET.encode() in file) == (key is None)


def test_sync_and_async_methods(path: Path) -> None:
    with open_store(path) as saver:
        loop = asyncio.new_event_loop()
        for driver in (SaverDriver(saver), SaverDriver(saver, loop)):
            put(driver, "c1", {"text": "one"})
            at = put(driver, "c2", {"text": "two"}, parent="c1")
            driver.put_writes(at, [("x", 1)], "task")
            driver.copy_thread("t", "copy")
            assert len(driver.list(config("copy"))) == 2
            assert values(driver, config("copy")) == {"text": "two"}
            driver.prune(["copy"])
            found = driver.list(None)
            assert len(found) == 3
            driver.delete_thread("copy")
            driver.delete_thread("t")
            assert driver.list(None) == []
        loop.close()


@pytest.mark.parametrize("key", [None, KEY])
def test_encrypting_serializer_works_with_and_without_a_key(path: Path, key: Any) -> None:
    serde = EncryptedSerializer(Cipher())
    with open_store(path, key, serde=serde) as saver:
        fill(saver)
    with open_store(path, key, serde=serde) as saver:
        assert read(saver) == filled()
    with open_store(path, key) as saver, pytest.raises(Exception, match=r"mine"):
        read(saver)


def test_saver_with_another_allowlist_shares_the_store(path: Path) -> None:
    saver = open_store(path)
    copy = saver.with_allowlist([("tests.encryption.test_saver", "Cipher")])
    fill(copy)
    saver.rotate_key(OTHER)
    assert read(copy) == read(saver) == filled()
    copy.close()
    with pytest.raises(StoreClosedError):
        read(saver)


def test_key_errors_name_the_path(path: Path) -> None:
    with open_store(path) as saver:
        fill(saver)
    for key, error in ((None, MissingKeyError), (OTHER, WrongKeyError)):
        with pytest.raises(error) as caught:
            open_store(path, key)
        assert caught.value.path == str(path)
    plain = path.with_name("plain")
    open_store(plain, None).close()
    with pytest.raises(NotEncryptedError, match="copy_store"):
        open_store(plain, KEY)
    with open_store(plain, None) as saver, pytest.raises(NotEncryptedError):
        saver.rotate_key(KEY)


def test_variable_opens_an_encrypted_store_but_encrypts_no_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_VARIABLE, KEY.decode())
    plain = path.with_name("plain")
    with open_store(plain, None) as saver:
        fill(saver)
    with open_store(path, "env") as saver:
        fill(saver)
    with open_store(path, None) as saver:
        assert read(saver) == filled()
    monkeypatch.delenv(ENV_VARIABLE)
    with open_store(plain, None) as saver:
        assert read(saver) == filled()
    with pytest.raises(MissingKeyError):
        open_store(path, None)


def test_read_only_encrypted_store(path: Path) -> None:
    with open_store(path) as saver:
        fill(saver)
    with open_store(path, readonly=True) as saver:
        assert read(saver) == filled()
        with pytest.raises(ReadOnlyError):
            fill(saver)
        with pytest.raises(ReadOnlyError):
            saver.rotate_key(OTHER)
    with open_store(path) as saver:
        assert read(saver) == filled()


def test_backup_keeps_the_key_of_its_time(path: Path) -> None:
    with open_store(path) as saver:
        fill(saver)
        saver.backup(path.with_name("backup"))
        saver.rotate_key(OTHER)
        saver.compact()
    with open_store(path.with_name("backup"), KEY) as saver:
        assert read(saver) == filled()


def test_copy_store_adds_changes_and_removes_encryption(path: Path) -> None:
    targets = [path.with_name(name) for name in ("one", "two", "three")]
    with open_store(path, None) as saver:
        fill(saver, 50)
        saver.copy_store(targets[0], encryption_key=KEY)
        with pytest.raises(InvalidPathError, match="already"):
            saver.copy_store(targets[0], encryption_key=KEY)
        with pytest.raises(InvalidPathError, match="already"):
            saver.copy_store(targets[0], encryption_key=None)
        with pytest.raises(UsageError):
            saver.copy_store(path, encryption_key=None)
    with open_store(targets[0]) as saver:
        assert read(saver) == filled(50)
        reachability.check(saver._kv)
        asyncio.run(saver.acopy_store(targets[1], encryption_key=OTHER))
        saver.copy_store(targets[2], encryption_key=None)
    for target, key in zip(targets[1:], (OTHER, None), strict=True):
        with open_store(target, key) as saver:
            assert read(saver) == filled(50)
            fill(saver, 60)
            reachability.check(saver._kv)


def test_interrupted_copy_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langgraph.checkpoint.lmdb.encryption.copy._BATCH_BYTES", 500)
    target = path.with_name("copy")
    with open_store(path, None) as saver:
        fill(saver)
        write, count = LmdbStore.write, 0

        def fail(self: LmdbStore, apply: Any) -> Any:
            nonlocal count
            count += 1
            if count > 3:
                raise KeyboardInterrupt
            return write(self, apply)

        monkeypatch.setattr(LmdbStore, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            saver.copy_store(target, encryption_key=KEY)
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        monkeypatch.undo()
        saver.copy_store(target, encryption_key=KEY)
    with open_store(target) as saver:
        assert read(saver) == filled()


def test_a_copy_that_cannot_be_made_leaves_nothing(path: Path) -> None:
    target = path.with_name("below") / "copy"
    with open_store(path, None) as saver:
        fill(saver)
        with pytest.raises(UsageError):
            saver.copy_store(target, encryption_key=b"short")
        assert [*target.parent.iterdir()] == []
        target.parent.rmdir()
    with pytest.raises(StoreClosedError):
        saver.copy_store(target, encryption_key=KEY)
    assert not target.parent.exists()


def test_forked_child_keeps_the_key(path: Path) -> None:
    with open_store(path) as saver:
        fill(saver)

        def child() -> None:
            assert read(saver) == filled()
            saver.rotate_key(OTHER)
            fill(saver, value="child's")

        in_fork(child)
        with pytest.raises(WrongKeyError):
            read(saver)
    with open_store(path, OTHER) as saver:
        assert read(saver) == filled(value="child's")


def test_another_process_opens_with_the_variable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_VARIABLE, KEY.decode())
    code = (
        "import sys; from tests.encryption.test_saver import *\n"
        "with open_store(sys.argv[1], 'env') as saver: fill(saver, 7)"
    )
    in_new_process(code, path)
    with open_store(path) as saver:
        assert read(saver) == filled(7)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_rotation_does_not_stop_readers_and_writers(
    path: Path, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    monkeypatch.setattr(rotation, "_BATCH_VALUES", 40)
    done = threading.Event()
    failures: list[BaseException] = []
    written: dict[int, int] = {}

    def work(number: int, saver: LmdbSaver) -> None:
        try:
            for step in range(1, 10_000):
                put(SaverDriver(saver), f"{step:05}", {"text": step}, thread=f"w{number}")
                written[number] = step
                assert values(SaverDriver(saver), config(f"w{number}")) == {"text": step}
                if done.is_set() and step >= 20:
                    return
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    with open_store(path) as rotating, open_store(path, [KEY, OTHER]) as other:
        fill(rotating, 30)
        threads = [
            threading.Thread(target=work, args=(number, saver))
            for number, saver in enumerate((rotating, rotating, other, other))
        ]
        for thread in threads:
            thread.start()
        try:
            for key in (OTHER, KEY, OTHER):
                if asynchronous:
                    asyncio.run(rotating.arotate_key(key))
                else:
                    rotating.rotate_key(key)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert not failures
    with open_store(path, OTHER) as saver:
        found = {
            number: len(list(saver.list(config(f"w{number}")))) for number in range(len(threads))
        }
        assert found == written
        reachability.check(saver._kv)


KILLED = """
import sys
from tests.encryption.test_saver import *

rotation._BATCH_VALUES = 4
with open_store(sys.argv[1], sync="full") as saver:
    step = saver._kv.inner.write

    def write(apply):
        result = step(apply)
        print("step", flush=True)
        return result

    type(saver._kv.inner).write = lambda self, apply: write(apply)
    saver.rotate_key(OTHER)
    print("end", flush=True)
"""


@pytest.mark.parametrize("after", [1, 2, 7, 12])
def test_store_of_a_killed_rotation_opens_with_both_keys(path: Path, after: int) -> None:
    with open_store(path) as saver:
        fill(saver, 20)
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(after):
            assert process.stdout.readline() == "step\n"
        process.send_signal(signal.SIGKILL)
    for key in (KEY, OTHER):
        with open_store(path, key) as saver:
            assert read(saver) == filled(20)
    with open_store(path, KEY) as saver:
        saver.rotate_key(OTHER)
        assert read(saver) == filled(20)
        reachability.check(saver._kv)
    with pytest.raises(WrongKeyError):
        open_store(path, KEY)
