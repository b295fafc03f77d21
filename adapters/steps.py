"""Tells the process that started this one which step a run has reached, so that a kill can be made to fall exactly between two of them.

Asleep unless the environment says otherwise. ``PERPFARM_STEPS_FD``: the number of an inherited socket; each step is written to it as one
line ``STEP:N``, the N-th of its kind. ``PERPFARM_HOLD_AT=STEP:N``: there, the thread that reached it waits until a byte or the end comes
from the other side. It must never change what is journaled, sent or answered.

==================  ==============================================================================================================
``opened``          the lock is held and the journal was read; no venue has been asked anything
``started``         preflight passed, the run has its epoch; no actor lives yet
``intent:ROLE``     the intent is durable; nobody has been told of it
``sending:ROLE``    the tracker has been told; not a byte has left
``answered:ROLE``   the venue's answer has been read; nobody has been told of it
``fill:ROLE``       the tracker takes the fill for new; the journal has not got it, and nobody has been told
``sending:cancel``  before the cancel of one order leaves
``answered:cancel`` after its answer has been read
``closing``         everything has stopped; the journal is about to be closed
==================  ==============================================================================================================

ROLE is core.types.Role in lower case, or ``foreign`` for a fill of an order that is not ours.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from adapters.journal import SqliteJournal
from core.instrument import Instrument
from core.messages import CancelAll, CancelOrder, FillRecorded, Message, PlaceOco, PlaceOrder, RenewDeadMan
from core.ports import Capabilities, QueryLane, Stream, TradeLane, Venue, VenueSetup
from core.types import VenueId

FD_NAME, HOLD_NAME = "PERPFARM_STEPS_FD", "PERPFARM_HOLD_AT"


class Steps:
    """``journal`` and ``venues`` hand out the real things, or the same ones with a voice. Any thread may announce."""

    def __init__(self, fd: int | None, hold_at: str = "") -> None:
        self._fd = fd
        self._hold_at = hold_at
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @staticmethod
    def of(environment: Mapping[str, str]) -> Steps:
        fd = environment.get(FD_NAME)
        return Steps(None if fd is None else int(fd), environment.get(HOLD_NAME, ""))

    def journal(self, path: Path) -> SqliteJournal:
        return SqliteJournal(path) if self._fd is None else _Journal(path, self)

    def venues(self, venues: Sequence[Venue]) -> list[Venue]:
        return list(venues) if self._fd is None else [_SteppedVenue(venue, self) for venue in venues]

    def announce(self, step: str) -> None:
        """Say it, and hold still if this is the place. A listener that has gone is no reason to stop."""
        if self._fd is None:
            return
        with self._lock, suppress(OSError):
            self._counts[step] += 1
            line = f"{step}:{self._counts[step]}"
            os.write(self._fd, f"{line}\n".encode())
        if line == self._hold_at:
            with suppress(OSError):
                os.read(self._fd, 1)


class _Journal(SqliteJournal):
    def __init__(self, path: Path, steps: Steps) -> None:
        super().__init__(path)
        self._steps = steps
        steps.announce("opened")

    def begin_epoch(self) -> int:
        epoch = super().begin_epoch()
        self._steps.announce("started")
        return epoch

    def record_intent(self, order: PlaceOrder, epoch: int) -> None:
        super().record_intent(order, epoch)
        self._steps.announce(f"intent:{order.role.value}")

    def note(self, message: Message) -> None:
        if isinstance(message, FillRecorded):
            self._steps.announce(f"fill:{message.order.role.value if message.order is not None else 'foreign'}")
        super().note(message)

    def close(self, *, is_clean: bool) -> None:
        self._steps.announce("closing")
        super().close(is_clean=is_clean)


class _SteppedVenue:
    def __init__(self, venue: Venue, steps: Steps) -> None:
        self._venue = venue
        self._steps = steps
        self.name: VenueId = venue.name
        self.setup: VenueSetup = venue.setup
        self.limits: Mapping[str, float] = venue.limits
        self.clock_offset_ms = venue.clock_offset_ms

    @property
    def capabilities(self) -> Capabilities:
        return self._venue.capabilities

    def trade_lane(self, instrument: Instrument) -> TradeLane:
        return _Trade(self._venue.trade_lane(instrument), self._steps)

    def query_lane(self, instrument: Instrument) -> QueryLane:
        return self._venue.query_lane(instrument)

    def market_stream(self, instrument: Instrument) -> Stream:
        return self._venue.market_stream(instrument)

    def account_stream(self, instrument: Instrument) -> Stream:
        return self._venue.account_stream(instrument)


class _Trade:
    def __init__(self, lane: TradeLane, steps: Steps) -> None:
        self._lane = lane
        self._steps = steps
        self.capabilities = lane.capabilities

    def place(self, order: PlaceOrder) -> tuple[Message, ...]:
        self._steps.announce(f"sending:{order.role.value}")
        answer = self._lane.place(order)
        self._steps.announce(f"answered:{order.role.value}")
        return answer

    def place_oco(self, pair: PlaceOco) -> tuple[Message, ...]:
        self._steps.announce("sending:oco")
        answer = self._lane.place_oco(pair)
        self._steps.announce("answered:oco")
        return answer

    def cancel(self, command: CancelOrder) -> tuple[Message, ...]:
        self._steps.announce("sending:cancel")
        answer = self._lane.cancel(command)
        self._steps.announce("answered:cancel")
        return answer

    def cancel_all(self, command: CancelAll) -> tuple[Message, ...]:
        return self._lane.cancel_all(command)

    def renew_dead_man(self, command: RenewDeadMan) -> tuple[Message, ...]:
        return self._lane.renew_dead_man(command)

    def close(self) -> None:
        self._lane.close()
