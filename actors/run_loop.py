"""The main thread of a run: watches the children, keeps the dead-man switch alive, answers signals, drains in order.

It is the only place that asks an actor instead of telling it, and only for its health. It decides nothing about orders.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

from actors.base import CrashReport, Failed, attempt
from actors.mailbox import Addresses
from actors.residue import Residue
from actors.supervision import ActorAnswer, Watch
from core.clock_watch import ClockWatch
from core.health import FeedHealth, HealthDump, LimitHealth, OrderHealth
from core.instrument import Instrument
from core.messages import (
    Alert,
    CancelAll,
    FetchOpenOrders,
    Message,
    RenewDeadMan,
    RunFinished,
    SetPolling,
    Stop,
    TradingStateChanged,
    VenueReconciled,
)
from core.ports import StreamVitals, Venue
from core.routing import CONTROL, TRACKER
from core.supervision import ChildSynced
from core.totals import RunStatus
from core.types import Channel, TradingState, VenueId

DEAD_MAN_S = 30.0
DEAD_MAN_RENEW_S = 10.0
DRAIN_LIMIT_S = 9.0
"""From the first signal on: 6 s of the 15 s to the hard exit are for saying what is left, the last dump and the children's stop."""
HASTE_LIMIT_S = 1.0
CANCEL_ALL_AFTER_S = 2.0
STOP_CHECK_S = 0.1
STOP_REPEAT_S = 1.0
"""An actor that was being rebuilt when the stop was told has to hear it, too."""
KILL_SWITCH_S = 0.25
KILL_REPEAT_S = 1.0
TIDY_S = 600.0
HEALTH_S = 0.9
STOCK_S = 0.45
"""A dump that is asked for while the round of a drain waits for somebody stuck comes after it, and within 2 s."""
SETTLE_S = 1.0
SETTLE_FAILED_S = 6.0
"""A cancel may be queued behind the longest call of its lane. No signal has set the hard exit going where a run fails by itself."""
SETTLE_ROUND_S = 0.2
TRACKERS, LANES = ("order_tracker",), ("rate_limiter", "trade_lane")

EXIT_FLAT, EXIT_FAILED, EXIT_EXPOSED = 0, 1, 3


class VenueSymbol(NamedTuple):
    venue: VenueId
    instrument: Instrument
    has_dead_man: bool
    clock_offset_ms: Callable[[], float]

    @staticmethod
    def of(venue: Venue, instrument: Instrument, *, may_cancel_all: bool) -> VenueSymbol:
        """``may_cancel_all`` False: a dead-man switch would take the stop of a held position away with the process that died."""
        has_dead_man = may_cancel_all and venue.capabilities.dead_man_switch
        return VenueSymbol(venue.name, instrument, has_dead_man=has_dead_man, clock_offset_ms=venue.clock_offset_ms)


class ControlInbox:
    """Looks like an actor to the router; holds what the main thread must hear."""

    def __init__(self, addresses: Addresses) -> None:
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        addresses.register(CONTROL, cast(Any, self), 1)

    def tell(self, message: Message) -> None:
        self.messages.put(message)


class RunLoop:
    """``run`` returns the exit code; ``stop``, ``hasten`` and ``request_health`` may be called from signal handlers."""

    def __init__(
        self,
        watch: Watch,
        inbox: ControlInbox,
        route: Callable[[Message], None],
        venues: Sequence[VenueSymbol],
        write_health: Callable[[HealthDump], None],
        metrics: Callable[[], dict[str, float]],
        is_killed: Callable[[], bool] = lambda: False,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        """``is_killed``: whether a person has thrown the kill switch, OSError where that cannot be told; asked every quarter of a second.
        ``tidy``: housekeeping that may take a few milliseconds, every ten minutes."""
        self._watch = watch
        self._inbox = inbox
        self._route = route
        self._venues = tuple(venues)
        self._lot = max(each.instrument.lot_size for each in self._venues)
        self._write_health = write_health
        self._metrics = metrics
        self._is_killed = is_killed
        self._tidy = tidy
        self._tidied_at = time.monotonic()
        self._clocks = {each.venue: ClockWatch(each.venue) for each in self._venues}
        self._kill_asked_at = float("-inf")
        self._is_thrown = False
        self._kill_trouble = ""
        self._started_at = time.monotonic()
        self._state = TradingState.STARTING
        self._stop_reason: str | None = None
        self._drain_until = float("inf")
        self._is_hastened = False
        self._failure: str | None = None
        self._knows_every_quote = False
        self._is_final = False
        self._wants_health = False
        self._renewed_at = float("-inf")
        self._status: RunStatus | None = None
        self.residue = Residue()

    # ---- from signal handlers and the watch's callbacks ----------------------------------------------------------------------

    def stop(self, reason: str, at: float) -> None:
        """Drain and leave; the first call alone counts. ``at``: when the wish came (monotonic seconds), which may be before the run."""
        if self._stop_reason is None:
            self._stop_reason, self._drain_until = reason, at + DRAIN_LIMIT_S

    def hasten(self) -> None:
        """Cancel and leave, without waiting any longer for what is still open."""
        self._is_hastened = True

    def request_health(self) -> None:
        self._wants_health = True

    def fail(self, reason: str) -> None:
        """An internal part failed for good: exit code 1, a restart reconciles."""
        self._failure = self._failure or reason

    # ---- the loop ------------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until it is stopped or a part fails for good, and then until all is in order or the time is up. The exit code; ``residue`` is what a
        person has to be told before anything else takes time, and ``finish`` does the rest."""
        for phase in (self._trade, self._drain, self._cancel_what_rests):
            self._go_through(phase)
        if self._failure is not None:
            return EXIT_FAILED
        return EXIT_FLAT if self.residue.is_flat else EXIT_EXPOSED

    def _go_through(self, phase: Callable[[], None]) -> None:
        """An error on this thread fails the run as that of a part does: to leave at once would leave the quotes at the venues."""
        outcome = attempt(phase)
        if isinstance(outcome, Failed):
            self._watch.report(CrashReport("run_loop", "run_loop", 0, "main thread", outcome.error, outcome.traceback))
            self.fail(f"the main thread: {outcome.error}")

    def _trade(self) -> None:
        while self._stop_reason is None and self._failure is None:
            self._turn()
            if self._wants_health:
                self._answer_health()

    def finish(self) -> RunStatus | None:
        """Lift the dead-man switch where every order is known to be closed, and write the last dump. The recorder's totals for the summary;
        None when it does not answer."""
        self._go_through(self._round_off)
        return self._status

    def _round_off(self) -> None:
        is_clean = self._is_clean()
        if is_clean:
            self._set_dead_man(0.0)  # Left armed, it cancels what we could not see.
        answers = self._answer_health()
        self._status = next((cast(RunStatus, answer.facts["status"]) for answer in answers if "status" in answer.facts), None)
        if is_clean:
            self._settle_lanes()

    def _turn(self) -> None:
        """One round of at most 50 ms: children, control messages, dead-man switch."""
        self._watch.wait()
        now = time.monotonic()
        self._watch.step(now)
        self._take_messages(now)
        if now - self._renewed_at >= DEAD_MAN_RENEW_S and self._state is not TradingState.HALTED:
            self._renewed_at = now
            self._set_dead_man(DEAD_MAN_S)
        self._look_at_kill_switch(now)
        self._look_at_clocks(now)
        if now - self._tidied_at >= TIDY_S:
            self._tidied_at = now
            self._tidy()

    def _look_at_kill_switch(self, now: float) -> None:
        """Thrown once, it halts for good: nothing but cancels leaves this process any more. It is told until trading is halted, since a judge
        that is being built anew hears of nothing."""
        if self._is_thrown and self._state is TradingState.HALTED:
            return
        if now - self._kill_asked_at < (KILL_REPEAT_S if self._is_thrown else KILL_SWITCH_S):
            return
        self._kill_asked_at = now
        self._is_thrown = self._is_thrown or self._read_kill_switch(now)
        if self._is_thrown:
            self._route(Alert(level="critical", key="halt", text="the kill switch was thrown", at=now))

    def _read_kill_switch(self, now: float) -> bool:
        """Where it cannot be told whether it is thrown, a person is, once, and again when that changes."""
        is_thrown, trouble = False, ""
        try:
            is_thrown = self._is_killed()
        except OSError as error:
            trouble = error.strerror or str(error)
        if trouble != self._kill_trouble:
            self._kill_trouble = trouble
            self._alert_kill_switch(trouble, now)
        return is_thrown

    def _alert_kill_switch(self, trouble: str, now: float) -> None:
        if trouble:
            text = f"the kill switch cannot be read, so throwing it would change nothing; a signal stops the run: {trouble}"
            self._route(Alert(level="critical", key="kill-switch", text=text, at=now))
        else:
            self._route(Alert(level="info", key="kill-switch", text="the kill switch can be read again", at=now))

    def _look_at_clocks(self, now: float) -> None:
        for each in self._venues:
            for alert in self._clocks[each.venue].judge(each.clock_offset_ms(), now):
                self._route(alert)

    def _take_messages(self, now: float) -> None:
        while True:
            try:
                message = self._inbox.messages.get_nowait()
            except queue.Empty:
                return
            match message:
                case TradingStateChanged():
                    self._state = message.state
                case RunFinished():
                    self.stop("the configured number of cycles is complete", now)
                case VenueReconciled():
                    self._synced(message.venue, Channel.ACCOUNT, now)
                case SetPolling() if not message.is_on and message.channel is Channel.MARKET:
                    self._synced(message.venue, Channel.MARKET, now)
                    self._synced(message.venue, Channel.MARKET, now)
                case _:
                    pass

    def _synced(self, venue: VenueId, channel: Channel, now: float) -> None:
        name = f"{channel.value}_feed.{venue}"
        epoch = self._watch.epoch_of(name)
        if epoch:
            self._watch.tell(ChildSynced(name=name, epoch=epoch), now)

    def _set_dead_man(self, countdown_s: float) -> None:
        for each in self._venues:
            if each.has_dead_man:
                self._route(RenewDeadMan(venue=each.venue, countdown_s=countdown_s))

    # ---- the ordered stop ----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """No new quotes, makers cancelled and confirmed, fills hedged, unknown outcomes resolved; until 9 s after the first wish. It goes
        round once whatever happens: who is in a hurry, or late, has the quotes cancelled, too."""
        began = cancelled_at = time.monotonic()
        asked_at = told_at = float("-inf")
        while self._failure is None:
            if time.monotonic() - told_at >= STOP_REPEAT_S:
                told_at = time.monotonic()
                self._route(Stop(reason=self._stop_reason or ""))
            self._turn()
            now = time.monotonic()
            if self._is_haste_due(now - began):
                return
            if self._is_final and not self._wants_health and now - asked_at < STOP_CHECK_S:
                continue
            asked_at = now
            self._take_stock()
            if (self._is_final and self.residue.is_settled) or now > self._drain_until:
                return
            if self._is_cancel_due(now - cancelled_at):
                cancelled_at = now
                self._cancel_all()

    def _take_stock(self) -> None:
        """What is left, and whether more may come: the one health round of a turn."""
        answers = self._ask(STOCK_S, (*TRACKERS, *LANES))
        self._is_final = self._knows_every_quote
        self.residue = self._residue_in(answers)
        self._knows_every_quote = self._knows_every_quote or self._have_lanes_stopped(answers)

    def _have_lanes_stopped(self, answers: Sequence[ActorAnswer]) -> bool:
        """Whether no quote can leave any more. Gateways hear of STOPPING before this loop does and answer in turn: whatever one of them let
        pass earlier is in the tracker's inbox before its answer, so that the tracker's next one is about every quote there is."""
        lanes = [answer.health.state for answer in answers if answer.health.kind == "trade_lane"]
        return self._state in (TradingState.STOPPING, TradingState.HALTED) and all(state == "running" for state in lanes)

    def _is_cancel_due(self, waited_s: float) -> bool:
        """By the quoter's own cancels all should be closed by now. Not while a hedge may be under way, or what rests may be a stop."""
        is_harmless = self.residue.is_hedged and (self.residue.is_known or len(self._venues) > 1)
        return not self._is_clean() and is_harmless and waited_s > CANCEL_ALL_AFTER_S

    def _is_clean(self) -> bool:
        """Every order there is was known when the tracker said that none is open."""
        return self._is_final and self.residue.has_no_orders

    def _is_haste_due(self, drained_s: float) -> bool:
        """A quote that may still leave would be left behind: even haste waits a second for the gateways."""
        return self._is_hastened and (self._knows_every_quote or drained_s > HASTE_LIMIT_S)

    def _cancel_what_rests(self) -> None:
        """Quotes must not rest unattended; the stop of a held position must."""
        if self._failure is None and self._is_clean():
            return
        is_stop_at_stake = len(self._venues) == 1 and self._is_anything_held()
        if self._failure is not None:
            self._calm_cores(self._failure, is_stop_at_stake=is_stop_at_stake)
        if not is_stop_at_stake:
            self._cancel_all()
        self._settle_lanes(SETTLE_S if self._stop_reason is not None else SETTLE_FAILED_S)
        self._is_final = self._knows_every_quote
        self.residue = self._look_for_residue()

    def _is_anything_held(self) -> bool:
        """By the tracker; where it is gone, by the gateway too, which has counted the same fills."""
        if self.residue.is_known:
            return bool(self.residue.positions)
        answers = self._ask(HEALTH_S, (*TRACKERS, *LANES))
        self.residue = self._residue_in(answers)
        counted = [] if self.residue.is_known else [cast(Decimal, each.facts["net"]) for each in answers if "net" in each.facts]
        return bool(self.residue.positions) or any(abs(net) >= self._lot for net in counted)

    def _calm_cores(self, reason: str, *, is_stop_at_stake: bool) -> None:
        """Those that are well would quote on: nobody has halted them after an error of this thread, or where the judge itself is gone. A hedge
        may still leave. But a bracket that is told to stop begins to close its position, and nobody would be left to see that through."""
        if is_stop_at_stake:
            self._route(Alert(level="critical", key="halt", text=reason, at=time.monotonic()))
        else:
            self._route(Stop(reason=reason))

    def _cancel_all(self) -> None:
        for each in self._venues:
            self._route(CancelAll(venue=each.venue, symbol=each.instrument.symbol))
            self._route(FetchOpenOrders(venue=each.venue, symbol=each.instrument.symbol))

    def _settle_lanes(self, limit_s: float = SETTLE_S) -> None:
        """Until the trade lanes have sent what was asked of them."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and any(map(_is_at_work, self._ask(SETTLE_ROUND_S, LANES))):
            self._watch.wait(0.02)

    def _look_for_residue(self) -> Residue:
        """By the tracker alone: its answer must not wait for whoever else is stuck."""
        return self._residue_in(self._ask(HEALTH_S, TRACKERS))

    def _residue_in(self, answers: Sequence[ActorAnswer]) -> Residue:
        facts = next((answer.facts for answer in answers if answer.health.name == TRACKER), {})
        return Residue.of(facts, [each.venue for each in self._venues], self._lot, before=self.residue)

    @property
    def failure(self) -> str | None:
        return self._failure

    # ---- health --------------------------------------------------------------------------------------------------------------

    def _ask(self, timeout_s: float, kinds: Collection[str]) -> tuple[ActorAnswer, ...]:
        """One health round of these ``kinds``; of everybody where a dump is wanted, since whoever is stuck costs the whole time of each."""
        return self._answer_health() if self._wants_health else self._watch.health(timeout_s, kinds=kinds)

    def _answer_health(self) -> tuple[ActorAnswer, ...]:
        """Write the dump, wanted or not; what all have said."""
        self._wants_health = False
        answers = self._watch.health(HEALTH_S)
        self._write_health(self._dump_of(answers))
        return answers

    def health(self) -> HealthDump:
        """Everything known now; actors that do not answer within the time are listed as unresponsive."""
        return self._dump_of(self._watch.health(HEALTH_S))

    def _dump_of(self, answers: Sequence[ActorAnswer]) -> HealthDump:
        by_name = {answer.health.name: answer.facts for answer in answers}
        tracker = by_name.get(TRACKER, {})
        orders = cast(tuple[OrderHealth, ...], tracker.get("orders", ()))
        positions = cast(dict[VenueId, Decimal], tracker.get("positions", {}))
        uncovered = next((facts["uncovered"] for name, facts in by_name.items() if "uncovered" in facts), Decimal(0))
        now = time.monotonic()
        return HealthDump(
            ts=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            pid=os.getpid(),
            state=self._state.value,
            uptime_s=round(now - self._started_at, 3),
            actors=tuple(answer.health for answer in answers),
            feeds=tuple(_feed(answer, now) for answer in answers if answer.health.kind.endswith("_feed")),
            orders=orders,
            positions={str(venue): quantity for venue, quantity in positions.items()},
            net_delta=sum(positions.values(), Decimal(0)),
            uncovered=cast(Decimal, uncovered),
            unknown_orders=sum(order.state == "UNKNOWN" for order in orders),
            limits={
                answer.health.name.partition(".")[2]: cast(dict[str, LimitHealth], answer.facts.get("limits", {}))
                for answer in answers
                if answer.health.kind == "rate_limiter"
            },
            metrics={**self._metrics(), **_stream_metrics(answers), **_actor_metrics(answers)},
        )


def _is_at_work(answer: ActorAnswer) -> bool:
    return answer.health.kind in LANES and bool(answer.health.queue_depth or answer.health.busy_s)


def _feed(answer: ActorAnswer, now: float) -> FeedHealth:
    """One feed's line; ``source`` is ws for a stream, whatever stands in for it is in the poller's own line."""
    vitals = cast(StreamVitals | None, answer.facts.get("stream"))
    channel, _, venue = answer.health.name.partition("_feed.")
    if vitals is None:
        return FeedHealth(venue=venue, channel=channel, source="ws", state="DOWN", last_frame_age_s=None, reconnects=0, gaps=0)
    age = now - vitals.last_frame_at if vitals.last_frame_at else None
    return FeedHealth(
        venue=venue,
        channel=channel,
        source="ws",
        state=vitals.state,
        last_frame_age_s=age,
        reconnects=vitals.reconnects,
        gaps=vitals.gaps,
    )


def _stream_metrics(answers: Sequence[ActorAnswer]) -> dict[str, float]:
    vitals = [cast(StreamVitals, answer.facts["stream"]) for answer in answers if "stream" in answer.facts]
    return {
        "ws_events_received": sum(each.frames for each in vitals),
        "ws_disconnects": sum(each.reconnects for each in vitals),
        "ws_frames_rejected": sum(each.rejected for each in vitals),
    }


def _actor_metrics(answers: Sequence[ActorAnswer]) -> dict[str, float]:
    """Counters that an actor keeps under the seed's own names."""
    return {name: value for answer in answers for name, value in cast(dict[str, float], answer.facts.get("metrics", {})).items()}
