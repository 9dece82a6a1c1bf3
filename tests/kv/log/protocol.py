"""A model of the protocol by which processes share a log, explored state by state.

The model has the parts that outlive a process: the base store, the slots of the log, and the shared
counters. Processes take one step at a time, in every order. Between any two steps a process may be
killed, and the power may fail. Then every slot that was not flushed is old, new or torn, and a
second generation of processes opens what is left.

`explore` raises ProtocolError if one of these does not hold:

- A record that was acknowledged is there for every later reader and after every failure.
- A reader gets a prefix of the history, with all that was acknowledged before it began.
- What a reader got is there after every failure.
- A record is there once, and only behind the record that it was written after.
- A record whose writer reported an error, and that was excluded by a merge, never comes back.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tests.kv.log.protocol_states import SLOTS, TORN, Base, Process, Record, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.kv.log.protocol_states import History, Log, Payload


class ProtocolError(Exception):
    """The protocol does not hold."""


class Protocol:
    """The steps of all processes.

    Args:
        broken: Rules to leave out, to show that the model finds the fault.
        faults: Let writes, flushes and merges fail, too.
        flushes: False: commits are not flushed, so a failure of the power may lose the last ones.
    """

    def __init__(
        self, broken: Sequence[str] = (), *, faults: bool = False, flushes: bool = True
    ) -> None:
        self._broken = frozenset(broken)
        self._faults = faults
        self._flushes = flushes

    def explore(self, first: Sequence[Process], second: Sequence[Process] = ()) -> int:
        """Visit every state of two generations of processes; return the number of states."""
        start = State(tuple(first))
        seen = {start}
        todo = [start]
        while todo:
            state = todo.pop()
            self._check(state, state.base, state.cached)
            for following in (*self._failures_of_power(state, second), *self._steps(state)):
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
        return len(seen)

    def _failures_of_power(self, state: State, second: Sequence[Process]) -> Iterator[State]:
        choices = [
            {old, new, TORN if old != new else old}
            for old, new in zip(state.flushed, state.cached, strict=True)
        ]
        for base in {state.base, state.doubtful or state.base}:
            for log in product(*choices):
                left = state if self._flushes else self._without_lost(state, base, log)
                self._check(left, base, log)
                if state.generation == 1 and second:
                    opened = tuple(process._replace(step="open") for process in second)
                    counters = product({0, state.durable}, (False, True), {state.barred, (0, 0)})
                    for durable, unfinished, barred in counters:
                        yield State(
                            opened,
                            base,
                            cached=log,
                            flushed=log,
                            exists=state.exists,
                            durable=durable,
                            unfinished=unfinished,
                            barred=barred,
                            acknowledged=left.acknowledged,
                            excluded=left.excluded,
                            read=left.read,
                            generation=2,
                        )

    def _without_lost(self, state: State, base: Base, log: Log) -> State:
        """Return the state without what a failure of the power may lose if nothing is flushed."""
        kept = {*base.history, *self._adopted(base, (), log)}
        acknowledged = tuple(payload for payload in state.acknowledged if payload in kept)
        return state._replace(acknowledged=acknowledged, read=0)

    def _check(self, state: State, base: Base, log: Log) -> None:
        """Check what an opener would find."""
        records = self._adopted(base, (), log)
        history = base.history + records
        for position in range(len(records)):
            record = log[position]
            assert record is not None
            before = history[: len(base.history) + position]
            if record.previous not in (None, *before):
                raise ProtocolError("a record stands on another history", state, history)
        if not set(state.acknowledged) <= set(history):
            raise ProtocolError("an acknowledged record is lost", state, history)
        if len(history) < state.read:
            raise ProtocolError("a record that was read is lost", state, history)
        if len(set(history)) < len(history):
            raise ProtocolError("a record is there twice", state, history)
        if set(state.excluded) & set(history):
            raise ProtocolError("a record that was reported as failed is there", state, history)

    def _adopted(self, base: Base, records: History, log: Log, limit: int | None = None) -> History:
        """Return the records of an epoch, with those that follow in the log."""
        if not base.uses_log:
            return ()
        while len(records) < SLOTS and (limit is None or base.applied + len(records) < limit):
            record = log[len(records)]
            number = base.applied + len(records) + 1
            if record is None or (record.epoch, record.number) != (base.epoch, number):
                break
            if "chain" not in self._broken and record.previous != _last(base, records):
                break
            records += (record.payload,)
        return records

    def _steps(self, state: State) -> Iterator[State]:
        for number, process in enumerate(state.processes):
            if process.step == "dead":
                continue
            move = _Move(self, state, number, process)
            yield from getattr(move, process.step.replace(" ", "_"))()
            if process.step != "idle":
                yield move.to("dead", turn=None if state.turn == number else state.turn)


class _Move:
    """The next steps of one process. A method has the name of the step it takes."""

    def __init__(self, protocol: Protocol, state: State, number: int, process: Process) -> None:
        self._protocol = protocol
        self._broken = protocol._broken
        self._faults = protocol._faults
        self._state = state
        self._number = number
        self._me = process

    def to(self, step: str, me: Process | None = None, **changes: object) -> State:
        """Return the state in which the process is at another step."""
        processes = list(self._state.processes)
        processes[self._number] = (me or self._me)._replace(step=step)
        return self._state._replace(processes=tuple(processes), **changes)

    def idle(self) -> Iterator[State]:
        if not self._me.left:
            return
        if self._me.kind in "RV":
            me = self._me._replace(needed=len(self._state.acknowledged))
            yield self.to("snapshot", me)
        elif self._state.turn is None:
            yield self.to("locked", turn=self._number)

    def open(self) -> Iterator[State]:
        if self._me.kind == "V":
            yield self.to("idle")
        elif self._state.turn is None:
            yield self.to("opening", turn=self._number)

    def opening(self) -> Iterator[State]:
        me = self._caught_up()
        if self._state.unfinished and not self._has_log():
            yield self._created("opening")
        elif self._state.unfinished:
            yield self.to("merge", me._replace(payload=None))
        else:
            barred = self._state.barred if "unbar" in self._broken else (0, 0)
            durable = me.base.applied + len(me.records)
            yield self.to("unlock", me, durable=durable, barred=barred)

    def locked(self) -> Iterator[State]:
        me = self._caught_up()
        own = (self._number, me.left, self._state.generation)
        if not self._has_log():
            yield self._created("locked")
        elif self._state.unfinished and "mend" not in self._broken:
            yield self.to("mend", me)
        elif me.kind == "W" and me.base.uses_log and len(me.records) < SLOTS:
            yield self.to("tear", me._replace(payload=own), unfinished="flag" not in self._broken)
        elif me.kind == "C" and not me.base.uses_log:
            yield self.to("unlock", me._replace(left=me.left - 1))
        else:
            payload = own if me.kind == "W" else None
            yield self.to("merge", me._replace(payload=payload), unfinished=True)

    def _has_log(self) -> bool:
        """Return False if the file of the log must be created before a merge."""
        return self._me.kind == "C" or self._state.exists

    def _created(self, step: str) -> State:
        """Create the file of the log, which is flushed before the base uses it."""
        new = (None,) * SLOTS
        return self.to(step, cached=new, flushed=new, lost=frozenset(), exists=True)

    def _caught_up(self) -> Process:
        """Return the process after it has looked at the base and adopted every whole record."""
        state, me = self._state, self._me
        if me.base != state.base:
            keep = "new_object" in self._broken
            me = me._replace(base=state.base, records=me.records if keep else ())
        limit = None
        if state.unfinished and state.barred[0] == me.base.epoch and "bar" not in self._broken:
            limit = state.barred[1] - 1
        records = self._protocol._adopted(me.base, me.records, state.cached, limit)
        return me._replace(records=records)

    def tear(self) -> Iterator[State]:
        lost = self._state.lost - {len(self._me.records)}  # a write makes the slot dirty again
        yield self.to("write", cached=self._with_slot(TORN), lost=lost)

    def write(self) -> Iterator[State]:
        me = self._me
        assert me.payload is not None
        number = me.base.applied + len(me.records) + 1
        record = Record(me.base.epoch, number, me.payload, _last(me.base, me.records))
        yield self.to("flush", cached=self._with_slot(record))
        if self._faults:
            yield self.to("exclude")

    def _with_slot(self, record: Record) -> Log:
        at, log = len(self._me.records), self._state.cached
        return (*log[:at], record, *log[at + 1 :])

    def flush(self) -> Iterator[State]:
        state = self._state
        flushed = tuple(
            old if at in state.lost else new
            for at, (old, new) in enumerate(zip(state.flushed, state.cached, strict=True))
        )
        if "flush" in self._broken or not self._protocol._flushes:
            flushed = state.flushed
        yield self.to("publish", flushed=flushed)
        if self._faults:
            changed = {at for at in range(SLOTS) if state.flushed[at] != state.cached[at]}
            yield self.to("exclude", lost=state.lost | changed)

    def publish(self) -> Iterator[State]:
        me = self._me
        assert me.payload is not None
        me = me._replace(records=(*me.records, me.payload))
        yield self.to("finish", me, durable=me.base.applied + len(me.records))

    def finish(self) -> Iterator[State]:
        step = "remove" if self._me.kind == "C" and not self._me.base.uses_log else "acknowledge"
        yield self.to(step, unfinished=False)

    def remove(self) -> Iterator[State]:
        """Remove the files of the log, unless another process has the store open."""
        others = (
            other
            for number, other in enumerate(self._state.processes)
            if number != self._number and other.kind != "V" and other.step not in ("dead", "open")
        )
        if any(other.left or other.step != "idle" for other in others):
            yield self.to("acknowledge")
            return
        new = (None,) * SLOTS
        yield self.to(
            "acknowledge",
            cached=new,
            flushed=new,
            lost=frozenset(),
            exists=False,
            durable=0,
            barred=(0, 0),
        )

    def acknowledge(self) -> Iterator[State]:
        me = self._me
        acknowledged = self._state.acknowledged
        if me.payload is not None:
            acknowledged += (me.payload,)
        me = me._replace(left=me.left - 1, payload=None)
        yield self.to("idle", me, turn=None, acknowledged=acknowledged)

    def merge(self) -> Iterator[State]:
        """Merge, with the own operation if there is one."""
        yield self._merged("counted")
        if self._faults:
            yield self.to("unlock", self._given_up(), doubtful=self._new_base())

    def counted(self) -> Iterator[State]:
        yield self.to("finish", durable=self._me.base.applied)

    def exclude(self) -> Iterator[State]:
        """Merge without the own operation, which has failed."""
        failed = self._me.payload
        assert failed is not None
        if "exclude" in self._broken:
            excluded = (*self._state.excluded, failed)
            yield self.to("unlock", self._given_up(), excluded=excluded)
            return
        me = self._me._replace(payload=None)
        excluded = (*self._state.excluded, failed)
        yield self._merged("excluded", me, excluded=excluded)
        barred = (me.base.epoch, me.base.applied + len(me.records) + 1)
        doubtful = self._new_base(me)
        yield self.to("unlock", self._given_up(), doubtful=doubtful, barred=barred)

    def excluded(self) -> Iterator[State]:
        me = self._given_up()
        yield self.to("unlock", me, durable=me.base.applied, unfinished=False)

    def mend(self) -> Iterator[State]:
        """Merge what another process left unfinished, then begin again."""
        yield self._merged("mended", self._me._replace(payload=None))
        if self._faults:
            doubtful = self._new_base(self._me._replace(payload=None))
            yield self.to("unlock", self._given_up(), doubtful=doubtful)

    def mended(self) -> Iterator[State]:
        yield self.to("locked", durable=self._me.base.applied, unfinished=False)

    def _merged(self, step: str, me: Process | None = None, **changes: object) -> State:
        base = self._new_base(me)
        me = (me or self._me)._replace(base=base, records=())
        return self.to(step, me, base=base, doubtful=None, **changes)

    def _new_base(self, me: Process | None = None) -> Base:
        me = me or self._me
        new = me.records if me.payload is None else (*me.records, me.payload)
        applied, epoch = me.base.applied + len(new), me.base.epoch + 1
        return Base(applied, epoch, me.kind != "C", me.base.history + new)

    def _given_up(self) -> Process:
        return self._me._replace(payload=None, left=max(self._me.left - 1, 0))

    def unlock(self) -> Iterator[State]:
        yield self.to("idle", turn=None)

    def snapshot(self) -> Iterator[State]:
        base = self._state.base
        me = self._me
        if me.base != base:
            keep = "new_object" in self._broken
            me = me._replace(base=base, records=me.records if keep else ())
        yield self.to("look", me)

    def look(self) -> Iterator[State]:
        state, me = self._state, self._me
        if not me.base.uses_log:
            yield from self._got(me)
        elif not state.exists:
            if "missing" in self._broken:
                raise ProtocolError("a reader finds no log", state, ())
            yield self.to("look again", me._replace(wanted=-1))
        elif me.kind == "V" or "durable" in self._broken:
            records = self._protocol._adopted(me.base, me.records, state.cached)
            yield self.to("look again", me._replace(records=records))
        else:
            yield self.to("adopt", me._replace(wanted=state.durable))

    def adopt(self) -> Iterator[State]:
        me, state = self._me, self._state
        records = self._protocol._adopted(me.base, me.records, state.cached, me.wanted)
        me = me._replace(records=records)
        if me.base.applied + len(records) >= me.wanted or "restart" in self._broken:
            yield from self._got(me)
        else:
            yield self.to("snapshot", me)

    def look_again(self) -> Iterator[State]:
        if self._state.base.epoch != self._me.base.epoch:
            yield self.to("snapshot", self._me._replace(wanted=0))
        elif self._me.wanted < 0:
            raise ProtocolError("a reader finds no log", self._state, ())
        else:
            yield from self._got(self._me)

    def _got(self, me: Process) -> Iterator[State]:
        history = me.base.history + me.records
        if not set(self._state.acknowledged[: me.needed]) <= set(history):
            raise ProtocolError("a reader misses an acknowledged record", self._state, history)
        read = self._state.read
        if me.kind == "R":
            read = max(read, len(history))
        yield self.to("idle", me._replace(left=me.left - 1, wanted=0, needed=0), read=read)


def _last(base: Base, records: History) -> Payload | None:
    history = base.history + records
    return history[-1] if history else None
