"""Planted bugs that only the troubles of trouble.py reveal: strangers, doubtful positions, a full disk, operators, zombies."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from core.hedge_planner import HedgePlanner
from core.messages import (
    Alert,
    CancelOrder,
    FillRecorded,
    FillReported,
    ForeignActivity,
    Message,
    PlaceOrder,
    PositionMismatch,
    RateLimited,
)
from core.order_tracker import OrderTracker
from core.quoter import Quoter
from core.rate_limiter import Budget, Command, LimiterConfig, RateLimiter
from core.risk_gate import Denial, RiskGate
from core.trading_state import TradingStateMachine
from core.types import ZERO, Liquidity, Priority, Side, Source, TradeId, VenueId
from tests.sim.bot import Parts
from tests.sim.journal import SimJournal
from tests.sim.lanes import GatewayNode
from tests.sim.mutant import Mutant, with_tracker


class _StrangerNotCounted(OrderTracker):
    def _fill(self, fill: FillReported, now: float) -> tuple[Message, ...]:
        is_ours = self._find(fill.venue, fill.client_order_id, fill.venue_order_id) is not None
        return super()._fill(fill, now) if is_ours else ()


class _PositionIsAFill(OrderTracker):
    """A difference that lasts is booked as a fill, and hedged."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        out = super().handle(message, now)
        booked = [self._fill(_as_fill(each), now) for each in out if isinstance(each, PositionMismatch)]
        return sum(booked, out)


def _as_fill(mismatch: PositionMismatch) -> FillReported:
    missing = mismatch.reported - mismatch.expected
    return FillReported(
        venue=mismatch.venue,
        symbol="",
        trade_id=TradeId(f"position-{mismatch.at}"),
        client_order_id=None,
        venue_order_id=None,
        side=Side.of(missing),
        price=ZERO,
        quantity=abs(missing),
        fee=ZERO,
        fee_currency="",
        liquidity=Liquidity.TAKER,
        venue_time_ms=2**60,
        source=Source.REST,
        received_at=mismatch.at,
    )


class _MismatchIgnored(OrderTracker):
    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        out = super().handle(message, now)
        return tuple(each for each in out if not isinstance(each, PositionMismatch))


class _NeverRests(Quoter):
    def _back_off(self, now: float) -> None:
        """A refused quote is tried again at once."""


class _EmptyBookIsTheEnd(HedgePlanner):
    """Without a price it waits for the next fill."""

    def _touch(self, venue: VenueId, side: Side, now: float) -> Decimal | None:
        book = self._books.get(venue)
        if book is not None and not book.bids:
            self._retry_at = float("inf")
        return super()._touch(venue, side, now)


class _MeetsItsQuote(HedgePlanner):
    def _may_meet_quote(self, side: Side) -> bool:
        return False


class _NoFence(RiskGate):
    def _fenced(self, order: PlaceOrder, now: float) -> Denial | None:
        return None


class _Sociable(TradingStateMachine):
    """Goes on while strangers trade."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        return () if isinstance(message, ForeignActivity) else super().handle(message, now)


class _ForgetsStrangers(TradingStateMachine):
    """Stops for them, but does not count what they fill: it never finds delta flat again."""

    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        is_strangers = isinstance(message, FillRecorded) and message.order is None
        return () if is_strangers else super().handle(message, now)


class _OutlastsRivals(TradingStateMachine):
    """Takes a second bot for a person."""

    _is_rivalled = False


class _NeedsNoJournal(TradingStateMachine):
    def handle(self, message: Message, now: float) -> tuple[Message, ...]:
        is_about_it = isinstance(message, Alert) and message.key == "journal"
        return () if is_about_it else super().handle(message, now)


class _SendsUnwritten(GatewayNode):
    """An intent that cannot be written is no reason not to hedge."""

    def intend(self, orders: tuple[PlaceOrder, ...]) -> bool:
        super().intend(orders)
        return True


class _ForgetsTheHalt(GatewayNode):
    def remind(self, owner: str) -> None:
        """Says nothing."""


class _Impatient(RateLimiter):
    """Waits a second, however long it was told to."""

    def _slow_down(self, refusal: RateLimited, now: float) -> tuple[Message, ...]:
        return super()._slow_down(msgspec.structs.replace(refusal, retry_after_s=min(refusal.retry_after_s or 1.0, 1.0)), now)


class _Newborn(RateLimiter):
    """Knows nothing of what its predecessor spent and was told."""

    def __init__(self, config: LimiterConfig, _: Budget) -> None:
        super().__init__(config)


class _CancelsQueue(RateLimiter):
    """A cancel is a request like any other: it waits behind the reads, and out every pause."""

    def _admit(self, command: Command, now: float) -> tuple[Message, ...]:
        refused = super()._admit(command, now)
        if isinstance(command, CancelOrder):
            key, waiting = self._queues[Priority.P0, "cancel"].popitem()
            self._queues[Priority.P3, "cancel"][key] = waiting
        return refused


class _SameIds(SimJournal):
    def __init__(self, wall_ms: Callable[[], int], first_client_id: int = 1) -> None:
        super().__init__(wall_ms)


TROUBLE_MUTANTS: dict[str, Mutant] = {
    "stranger-not-counted": Mutant("a fill of somebody else's order moves nothing", with_tracker(_StrangerNotCounted), 40),
    "sociable": Mutant("goes on quoting while somebody else trades the account", Parts(risk=_Sociable), 40),
    "forgets-strangers": Mutant("a risk judge does not count what strangers fill", Parts(risk=_ForgetsStrangers), 40),
    "outlasts-rivals": Mutant("two bots on one account hedge each other's hedges", Parts(risk=_OutlastsRivals), 60, since=1_490),
    "same-ids": Mutant("every journal counts client ids from one", Parts(journal=_SameIds), 60),
    "position-is-a-fill": Mutant("a position report is booked as a fill", with_tracker(_PositionIsAFill), 40),
    "mismatch-ignored": Mutant("a position that our fills do not explain is no matter", with_tracker(_MismatchIgnored), 60),
    "sends-unwritten": Mutant(
        "an order leaves though its intent could not be written", Parts(gateway=_SendsUnwritten), 60, since=80
    ),
    "needs-no-journal": Mutant("quotes go on while the journal cannot be written", Parts(risk=_NeedsNoJournal), 40),
    "forgets-the-halt": Mutant(
        "a risk judge built anew does not hear that trading was halted", Parts(gateway=_ForgetsTheHalt), 60, since=1_680
    ),
    "never-rests": Mutant("a refused quote is tried again at once", Parts(quoter=_NeverRests), 60, since=30),
    "impatient": Mutant("a venue that asks us to wait is asked again after a second", Parts(limiter=_Impatient), 40),
    "newborn-limiter": Mutant(
        "a limiter built anew begins with full buckets and no pause", Parts(limiter=_Newborn), 60, since=290
    ),
    "cancels-queue": Mutant("cancels wait behind reads, and until a 429 is over", Parts(limiter=_CancelsQueue), 60, since=160),
    "empty-book-ends": Mutant("an empty hedge book ends the hedge", Parts(planner=_EmptyBookIsTheEnd), 60, since=80),
    "meets-its-quote": Mutant("an unwind is sent while the quote may rest", Parts(planner=_MeetsItsQuote), 60, since=130),
    "no-fence": Mutant("a core that was replaced goes on placing orders", Parts(gate=_NoFence), 120, since=430),
}
