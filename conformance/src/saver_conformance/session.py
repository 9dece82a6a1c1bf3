"""The session of a clause: a saver, the model, and comparisons of the two."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from saver_conformance.operations import (
    ABSENT,
    Operations,
    Ref,
    at,
    checkpoint_id,
    make_checkpoint,
)
from saver_conformance.parts import ALL, Part, mismatch
from saver_conformance.recorder import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saver_conformance.model import Entry, Model

__all__ = ["ABSENT", "Ref", "Session", "at", "checkpoint_id", "make_checkpoint"]


class Session(Operations):
    """A session that checks the saver against the model."""

    def expect_tuple(self, where: Ref | dict[str, Any], *parts: Part) -> Any:
        """Get a checkpoint and check it against the model.

        Args:
            where: Checkpoint, or the config to get it with.
            *parts: Parts to compare; none compares every part.

        Returns:
            The tuple, or None.

        Raises:
            Violation: If a part differs.
        """
        config = where.config if isinstance(where, Ref) else where
        name = self.script.name("got")
        actual = self.call("get_tuple", config, bind=name)
        self.match(name, actual, self.model.get(config), *parts)
        return actual

    def expect_history(self, config: dict[str, Any], channels: Sequence[str]) -> None:
        """Get the history of channels and check it against the model.

        Args:
            config: Config of the checkpoint.
            channels: Channels to get.

        Raises:
            Violation: If the history differs.
        """
        name = self.script.name("history")
        actual = self.call(
            "get_delta_channel_history", config=config, channels=list(channels), bind=name
        )
        expected = self.model.history(config, channels)
        self.expect(f"sorted({name})", sorted(actual), sorted(expected))
        for channel, wanted in expected.items():
            found = [tuple(write) for write in actual[channel].get("writes", ())]
            self.expect(f'{name}[{channel!r}]["writes"]', found, wanted["writes"])
            has_seed = f'"seed" in {name}[{channel!r}]'
            self.expect(has_seed, "seed" in actual[channel], "seed" in wanted)
            if "seed" in wanted:
                seed = actual[channel]["seed"]
                self.expect(f'{name}[{channel!r}]["seed"]', seed, wanted["seed"])

    def match(self, expression: str, actual: Any, expected: Entry | None, *parts: Part) -> None:
        """Check a tuple against the model.

        Args:
            expression: Program expression of the tuple.
            actual: Tuple, or None.
            expected: Entry of the model, or None.
            *parts: Parts to compare; none compares every part.

        Raises:
            Violation: If a part differs.
        """
        if expected is None:
            if actual is not None:
                self.differ(expression, actual, None)
            return
        if actual is None:
            message = f"{expression} is None, expected checkpoint {expected.key.id!r}"
            self.fail_assertion(f"{expression} is not None", message)
        try:
            found = mismatch(expression, actual, expected, parts or ALL)
        # A returned object may raise anything when it is read.
        except Exception as error:  # noqa: BLE001
            self.fail(f"{expression} is not a CheckpointTuple: {shorten(actual)} ({error!r})")
        if found:
            self.differ(*found)

    def expect_list(
        self,
        config: dict[str, Any] | None,
        *parts: Part,
        threads: Sequence[str] | None = None,
        **narrowing: Any,
    ) -> list[Any]:
        """List checkpoints and check them against the model.

        The order is compared within a namespace only; the base class promises no other order. So a
        limit may select any namespaces, but the newest checkpoints of each.

        Args:
            config: Config to list with.
            *parts: Parts of each tuple to compare, besides its key.
            threads: Threads to compare, for a store with other content; None compares every thread.
            **narrowing: `filter`, `before` and `limit`.

        Returns:
            Tuples that the saver returned.

        Raises:
            Violation: If the list differs.
        """
        name = self.script.name("listed")
        actual: list[Any] = self.call("list", config, bind=name, **narrowing)
        expected = self.model.matching(config, **narrowing)
        if threads is not None:
            actual = [t for t in actual if t.config["configurable"]["thread_id"] in threads]
        found = self.model.matching(config, **{**narrowing, "limit": None})
        if len({entry.key[:2] for entry in found}) > 1:
            expected = self._limited(name, actual, found, len(expected))
        self.match_list(name, actual, expected, *parts)
        return actual

    def _limited(
        self, expression: str, actual: list[Any], matching: list[Entry], count: int
    ) -> list[Entry]:
        """Return the expected entries of the namespaces that a limited list chose."""
        self.expect(f"len({expression})", len(actual), count)
        with self.guard("reading a listed tuple"):
            places = Counter(_key_of(t)[:2] for t in actual)
        chosen: list[Entry] = []
        for entry in matching:
            if places[entry.key[:2]] > 0:
                places[entry.key[:2]] -= 1
                chosen.append(entry)
        return chosen

    def expect_everything(self, *parts: Part, thread: str | None = None) -> None:
        """Check the whole content of a thread or of the store against the model.

        If listing several namespaces or threads is broken, list each of them.

        Args:
            *parts: Parts of each tuple to compare, besides its key.
            thread: Thread id; None checks every thread.

        Raises:
            Violation: If the content differs.
        """
        together = "list.everything" if thread is None else "list.all_namespaces"
        if together not in self.broken:
            self.expect_list(None if thread is None else at(thread, None), *parts)
            return
        for place in sorted(self._places):
            if thread in (None, place[0]):
                self.expect_list(at(*place), *parts)

    def has_content(self, listed: Sequence[Any], state: Model, *parts: Part) -> bool:
        """Return True if the listed tuples of the whole store are the content of a model.

        Args:
            listed: Tuples that the saver returned.
            state: Model to compare with.
            *parts: Parts of each tuple to compare, besides its key.

        Raises:
            Violation: If an item is not a tuple.
        """
        expected = {tuple(entry.key): entry for entry in state.matching(None)}
        with self.guard("reading a listed tuple"):
            keys = [_key_of(item) for item in listed]
            return sorted(keys) == sorted(expected) and not any(
                mismatch("t", item, expected[key], parts)
                for key, item in zip(keys, listed, strict=True)
            )

    def match_list(
        self, expression: str, actual: Any, expected: Sequence[Entry], *parts: Part
    ) -> None:
        """Check listed tuples against the model.

        Args:
            expression: Program expression of the tuples.
            actual: Tuples that the saver returned.
            expected: Entries of the model, in order.
            *parts: Parts of each tuple to compare, besides its key.

        Raises:
            Violation: If the list differs.
        """
        try:
            keys = [_key_of(t) for t in actual]
        # A returned object may raise anything when it is read.
        except Exception as error:  # noqa: BLE001
            self.fail(f"{expression} has an item that is not a CheckpointTuple: {error!r}")
        wanted = [tuple(e.key) for e in expected]
        if len({key[:2] for key in [*keys, *wanted]}) <= 1:
            ids = f'[t.checkpoint["id"] for t in {expression}]'
            self.expect(ids, [k[2] for k in keys], [k[2] for k in wanted])
        else:
            self._expect_groups(expression, keys, wanted)
        entries = {tuple(e.key): e for e in expected}
        for position, key in enumerate(keys if parts else ()):
            self.match(f"{expression}[{position}]", actual[position], entries[key], *parts)

    def _expect_groups(
        self, expression: str, keys: Sequence[tuple[str, ...]], wanted: Sequence[tuple[str, ...]]
    ) -> None:
        where = 't.config["configurable"]'
        key = ", ".join(f'{where}["{k}"]' for k in ("thread_id", "checkpoint_ns", "checkpoint_id"))
        everything = f"sorted(({key}) for t in {expression})"
        self.expect(everything, sorted(keys), sorted(wanted))
        for thread, ns in sorted({k[:2] for k in wanted}):
            chosen = f'{where}["thread_id"] == {thread!r} and {where}["checkpoint_ns"] == {ns!r}'
            self.expect(
                f'[t.checkpoint["id"] for t in {expression} if {chosen}]',
                [k[2] for k in keys if k[:2] == (thread, ns)],
                [k[2] for k in wanted if k[:2] == (thread, ns)],
            )


def _key_of(item: Any) -> tuple[str, str, str]:
    where = item.config["configurable"]
    return str(where["thread_id"]), where.get("checkpoint_ns", ""), item.checkpoint["id"]
