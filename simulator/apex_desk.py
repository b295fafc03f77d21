"""The life of ApeX orders above the exchange: accepted, triggered, matched, censored, settled, ended (apex.md §3).

Must never touch a request or a socket: it is called by the REST handlers and tells what happened to one listener.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Literal, NamedTuple, Protocol

from core.types import ZERO, Side
from simulator.apex_account import ApexAccount, ApexFill, PositionRow
from simulator.apex_auth import Refusal
from simulator.apex_market import MarketView
from simulator.apex_orders import (
    COULD_NOT_FILL,
    EXPIRED,
    INTERNAL_FAILED,
    LIVE,
    NO_REASON,
    REDUCE_ONLY_CANCELED,
    USER_CANCELED,
    ApexOrder,
    Leg,
    Status,
    limit_fee,
)
from simulator.apex_triggers import TriggerBook
from simulator.clock import Clock
from simulator.exchange import AccountFill, Event, Exchange, ExchangeRefused, FillEvent, OrderEvent, SimOrder

FIRST_ORDER_ID = 774_568_067_192_586_606
MARK_SAMPLE_S = 0.05
"""How long after a change of the book the mark is looked at: the house moves its levels one by one."""
MARKET_REACH = Decimal("0.01")
"""How far from the index the venue prices a market order (rest_responses.jsonl: 87.71 and 89.87 around 88.8)."""
BOOK_DEPTH = 1000
TIMED_EXPIRY_S = 3600.0
"""An expiry further away than this needs no timer of its own: the next request or trade after it will do."""
_ENDINGS: dict[str, tuple[Status, str]] = {
    "POST_ONLY": ("CANCELED", COULD_NOT_FILL),
    "SELF_TRADE": ("CANCELED", COULD_NOT_FILL),
    "IOC": ("CANCELED", COULD_NOT_FILL),
    "REDUCE_ONLY": ("CANCELED", REDUCE_ONLY_CANCELED),
    REDUCE_ONLY_CANCELED: ("CANCELED", REDUCE_ONLY_CANCELED),
    INTERNAL_FAILED: ("CANCELED", INTERNAL_FAILED),
    EXPIRED: ("EXPIRED", EXPIRED),
}
"""What the exchange's reasons, its own and those given to it here, are to the venue; any other is the user's cancel."""


class ApexTimes(NamedTuple):
    """How long each step takes, seconds; all zero in tests."""

    match_s: float = 0.0
    """From acceptance to the book: PENDING until then."""
    cancel_s: float = 0.0
    """From the acknowledgement of a cancel to its effect."""
    censor_s: float = 0.0
    """From a match to SUCCESS."""
    settle_s: float = 5.6
    """From SUCCESS to SUCCESS_L2_APPROVED (apex.md §3)."""


class ApexSwitches:
    """Behaviour to turn on while running; the defaults are a healthy venue."""

    def __init__(self) -> None:
        self.cancels_sibling = False
        """Set: when a reduce-only order has filled, the venue itself cancels the others that close the same side."""
        self.ignores_reduce_only = False
        """Set: new reduce-only orders may open a position."""
        self.failing_fills: Literal["", "FAILED_CENSOR_FAILURE", "FAILED_L2_REJECTED"] = ""
        """Set: matches fail that check. The exchange's ledger keeps them, the venue's account does not."""
        self.is_margin_short = False
        """Set: every order that does not reduce is refused."""
        self.is_cancel_of_filled_garbled = False
        """Set: cancelling a filled order answers with a body that is not JSON (apex.md §1.7)."""
        self.disabled: set[str] = set()
        """Symbols whose trading is off."""
        self.history_frame: Literal["", "snapshot", "delta"] = "delta"
        """What the frame of past orders after a login calls itself; "": there is none (apex.md §0.2)."""
        self.login_ack: Literal["", "boolean", "string"] = "boolean"
        """How a login is acknowledged; nobody has captured one (apex.md §3). "": not at all."""
        self.is_data_first = True
        """Whether the snapshot of a public topic leaves before the acknowledgement (apex.md §2)."""


class News(Protocol):
    """Told of everything that happens to the account, in order."""

    def account_changed(
        self, orders: Iterable[ApexOrder], fills: Iterable[ApexFill], positions: Iterable[PositionRow]
    ) -> None: ...


class ApexDesk:
    """The orders of one account of one exchange."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        market: MarketView,
        account: ApexAccount,
        account_name: str,
        times: ApexTimes,
        taker_rate: Decimal,
    ) -> None:
        self.switches = ApexSwitches()
        self.orders: dict[int, ApexOrder] = {}
        self.news: News | None = None
        self._exchange = exchange
        self._clock = clock
        self._market = market
        self._account = account
        self._account_name = account_name
        self._times = times
        self._taker_rate = taker_rate
        self._order_ids = itertools.count(FIRST_ORDER_ID)
        self._by_client_id: dict[str, ApexOrder] = {}
        self._live: dict[int, ApexOrder] = {}
        self._triggers = TriggerBook()
        self._expiries: list[tuple[float, int]] = []
        self._sampled: set[str] = set()

    # -- what the account may do ---------------------------------------------------------------------------------------

    def next_order_id(self) -> int:
        return next(self._order_ids)

    def submit(self, order: ApexOrder) -> None:
        """A checked order enters: it waits for its price, or for the book."""
        self._enter(order)
        if order.status == "UNTRIGGERED":
            self._wait(order)
        else:
            self._later(self._times.match_s, partial(self._match, order))

    def reprice_market(self, order: ApexOrder) -> None:
        """What the venue makes of a market order: immediate, priced off the index, its fee limit anew (apex.md §1.5)."""
        mark = self._market.mark(order.symbol) or order.price
        instrument = self._exchange.instruments[order.symbol]
        order.time_in_force = "IMMEDIATE_OR_CANCEL"
        order.price = instrument.price_passive(mark * (1 + order.side.sign * MARKET_REACH), order.side)
        order.limit_fee = limit_fee(order.price, order.size, self._taker_rate)

    def is_known_client_id(self, client_id: str) -> bool:
        """Whether any order, live or ended, or the leg of one, has had it: one client id, one nonce (apex.md §1.5)."""
        return client_id in self._by_client_id

    def by_client_id(self, client_id: str) -> ApexOrder | None:
        return self._by_client_id.get(client_id)

    def live(self, symbol: str | None = None) -> list[ApexOrder]:
        """Orders that may still fill, oldest first."""
        return [order for order in self._live.values() if symbol in (None, order.symbol)]

    def request_cancel(self, order: ApexOrder) -> None:
        """Acknowledged now, carried out later; it may have filled by then. Raises Refusal for an order past cancelling."""
        match order.status:
            case "FILLED":
                raise Refusal(3, "Order has been filled", "ORDER_NOT_CANCEL_FILLED")
            case "PENDING":
                raise Refusal(3, "Order is being processed", "ORDER_NOT_CANCEL_MATCHED")
            case "CANCELED" | "EXPIRED":
                raise Refusal(3, "Order status is invalid for cancel", "ORDER_NOT_CANCEL_INVALID_STATUS")
            case _:
                self._later(self._times.cancel_s, partial(self.withdraw, order, "CANCELED", USER_CANCELED))

    def withdraw(self, order: ApexOrder, status: Status, reason: str) -> None:
        """Ends a live order at once; nothing happens to one that has ended."""
        if order.status not in LIVE:
            return
        if order.exchange_id is not None:
            self._exchange.cancel(order.exchange_id, reason)
        else:
            self._end(order, status, reason)

    def remember(self, order: ApexOrder) -> None:
        """An order of the past: known, never live."""
        self.orders[order.order_id] = order
        self._by_client_id[order.client_id] = order

    # -- time and prices -------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Ends what has expired until now."""
        now = self._clock.now()
        self._exchange.advance(now)
        while self._expiries and self._expiries[0][0] <= now:
            self.withdraw(self.orders[heapq.heappop(self._expiries)[1]], "EXPIRED", EXPIRED)

    def check_triggers(self, symbol: str) -> None:
        """Sets off what the last trade and the mark of now are through."""
        due = self._triggers.take_due(symbol, self._market.last(symbol), self._market.mark(symbol))
        for order in due:
            if order.status == "UNTRIGGERED":  # One of them may have ended another.
                self._set_off(order)

    def book_changed(self, symbol: str) -> None:
        """Looks at the mark a moment later, once the house has moved all its levels."""
        if self._triggers.is_watching(symbol) and symbol not in self._sampled:
            self._sampled.add(symbol)
            self._clock.call_later(MARK_SAMPLE_S, partial(self._sample, symbol))

    def _sample(self, symbol: str) -> None:
        self._sampled.discard(symbol)
        self.check_triggers(symbol)

    # -- the way of an order -----------------------------------------------------------------------------------------------

    def _enter(self, order: ApexOrder) -> None:
        self.remember(order)
        self._live[order.order_id] = order
        for leg in order.legs:
            self._by_client_id[leg.client_id] = order
        heapq.heappush(self._expiries, (order.expires_at, order.order_id))
        left_s = order.expires_at - self._clock.now()
        if left_s < TIMED_EXPIRY_S:
            self._clock.call_later(left_s, self.advance)
        self._tell([order])

    def _wait(self, order: ApexOrder) -> None:
        self._triggers.add(order)
        self.check_triggers(order.symbol)

    def _set_off(self, order: ApexOrder) -> None:
        """UNTRIGGERED to PENDING; a position order takes the size the position has by now (apex.md §3)."""
        if order.is_position_tpsl:
            held = abs(self._exchange.position(self._account_name, order.symbol))
            order.size = held or order.size
        order.status = "PENDING"
        self._touch(order)
        self._tell([order])
        self._later(self._times.match_s, partial(self._match, order))

    def _match(self, order: ApexOrder) -> None:
        """The order meets the book; what comes of it arrives as events of the exchange."""
        if order.status != "PENDING":
            return
        if order.time_in_force == "FILL_OR_KILL" and not self._is_fillable(order):
            self._end(order, "CANCELED", COULD_NOT_FILL)
            return
        reduce_only = (order.reduce_only or order.is_position_tpsl) and not self.switches.ignores_reduce_only
        try:
            placed = self._exchange.place(
                self._account_name,
                order.symbol,
                order.side,
                order.size,
                order.price,
                tif="IOC" if order.is_immediate else "GTC",
                post_only=order.time_in_force == "POST_ONLY" and not order.is_immediate,
                reduce_only=reduce_only,
                client_id=order.client_id,
                tag={"apex": order},
            )
        except ExchangeRefused:
            self._end(order, "CANCELED", INTERNAL_FAILED)
        else:
            order.exchange_id = placed.order_id

    def _is_fillable(self, order: ApexOrder) -> bool:
        bids, asks = self._exchange.book(order.symbol, BOOK_DEPTH)
        levels = asks if order.side is Side.BUY else bids
        reachable = (quantity for price, quantity in levels if (order.price - price) * order.side.sign >= 0)
        return sum(reachable, ZERO) >= order.size

    # -- events of the exchange --------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        match event:
            case OrderEvent(order=placed) if placed.account == self._account_name:
                self._on_order(self._record_of(placed), placed)
            case FillEvent(fill=fill, order=placed) if placed.account == self._account_name:
                self._on_fill(self._record_of(placed), placed, fill)
            case _:
                pass

    def _record_of(self, placed: SimOrder) -> ApexOrder:
        """Ours, or a new record for an order that was placed at the exchange by other hands."""
        known = placed.tag.get("apex")
        if isinstance(known, ApexOrder):
            return known
        price = placed.price or self._market.mark(placed.symbol) or ZERO
        order = ApexOrder(
            order_id=self.next_order_id(),
            client_id=placed.client_id or f"web-{placed.order_id}",
            symbol=placed.symbol,
            side=placed.side,
            type="MARKET" if placed.price is None else "LIMIT",
            time_in_force="POST_ONLY"
            if placed.post_only
            else "IMMEDIATE_OR_CANCEL"
            if placed.tif == "IOC"
            else "GOOD_TIL_CANCEL",
            size=placed.quantity,
            price=price,
            limit_fee=limit_fee(price, placed.quantity, self._taker_rate),
            expiration=round((placed.expires_at or self._clock.now() + 28 * 86_400) * 1000),
            created_at=placed.created_at,
            updated_at=placed.created_at,
            reduce_only=placed.reduce_only,
        )
        placed.tag["apex"] = order
        self._enter(order)
        return order

    def _on_order(self, order: ApexOrder, placed: SimOrder) -> None:
        order.exchange_id = placed.order_id
        if placed.status == "OPEN":
            if order.status == "PENDING":
                order.status = "OPEN"
                self._touch(order)
                self._tell([order])
            return
        if order.ending is None:
            order.ending = _ENDINGS.get(placed.reason, ("CANCELED", USER_CANCELED))
        self._end_if_censored(order)

    def _on_fill(self, order: ApexOrder, placed: SimOrder, fill: AccountFill) -> None:
        """A match is told at once, as PENDING_CENSORING; it counts when it has passed."""
        record = ApexFill(fill, order, self._account.is_closing(order.symbol, order.side), fill.time)
        self._account.fills.append(record)
        order.matched.add(fill.quantity, fill.price, fill.fee)
        order.last_price = fill.price
        order.uncensored += 1
        if placed.status == "FILLED":
            is_shrunk = placed.filled < order.size
            order.ending = ("CANCELED", REDUCE_ONLY_CANCELED) if is_shrunk else ("FILLED", NO_REASON)
        self._touch(order)
        self._tell([order], [record])
        self._later(self._times.censor_s, partial(self._censor, record))

    def _censor(self, record: ApexFill) -> None:
        order, fill = record.order, record.fill
        order.uncensored -= 1
        record.updated_at = self._clock.now()
        positions: list[PositionRow] = []
        if self.switches.failing_fills == "FAILED_CENSOR_FAILURE":
            record.status = "FAILED_CENSOR_FAILURE"
            self._undo_filled(order)
        else:
            record.status = "SUCCESS"
            order.succeeded.add(fill.quantity, fill.price, fill.fee)
            positions = self._account.apply(order.symbol, order.side, fill.quantity, fill.price, fill.fee, self._clock.now())
            self._clock.call_later(self._times.settle_s, partial(self._settle, record))
        has_ended = order.ending is not None and not order.uncensored
        if order.ending is not None and has_ended:
            order.status, order.cancel_reason = order.ending
        self._touch(order)
        self._tell([order], [record], positions)
        if has_ended:
            self._after_end(order)

    def _settle(self, record: ApexFill) -> None:
        """The last word on a fill: the chain approves it, or takes it back."""
        record.updated_at = self._clock.now()
        if self.switches.failing_fills != "FAILED_L2_REJECTED":
            record.status = "SUCCESS_L2_APPROVED"
            self._tell([], [record])
            return
        order, fill = record.order, record.fill
        record.status = "FAILED_L2_REJECTED"
        order.succeeded.add(fill.quantity, fill.price, fill.fee, sign=-1)
        self._undo_filled(order)
        if order.status == "FILLED":
            order.status, order.cancel_reason = "CANCELED", INTERNAL_FAILED
        positions = self._account.apply(
            order.symbol, order.side.opposite, fill.quantity, fill.price, -fill.fee, self._clock.now()
        )
        self._touch(order)
        self._tell([order], [record], positions)

    # -- ends ----------------------------------------------------------------------------------------------------------------

    def _undo_filled(self, order: ApexOrder) -> None:
        """A fill of it failed: it will not end as filled."""
        if order.ending is not None and order.ending[0] == "FILLED":
            order.ending = ("CANCELED", INTERNAL_FAILED)

    def _end_if_censored(self, order: ApexOrder) -> None:
        if order.ending is not None and not order.uncensored:
            self._end(order, *order.ending)

    def _end(self, order: ApexOrder, status: Status, reason: str) -> None:
        order.status, order.cancel_reason = status, reason
        self._triggers.remove(order)
        self._touch(order)
        self._tell([order])
        self._after_end(order)

    def _after_end(self, order: ApexOrder) -> None:
        """What an end brings about: the legs of an entry that filled, the siblings of an exit where the venue minds them."""
        self._live.pop(order.order_id, None)
        if order.legs and order.succeeded.size:
            for leg in order.legs:
                self._attach(order, leg)
        if self.switches.cancels_sibling and order.reduce_only and order.status == "FILLED":
            for other in self.live(order.symbol):
                if other.side is order.side and (other.reduce_only or other.is_position_tpsl):
                    self.withdraw(other, "CANCELED", REDUCE_ONLY_CANCELED)

    def _attach(self, entry: ApexOrder, leg: Leg) -> None:
        now = self._clock.now()
        order = ApexOrder(
            order_id=self.next_order_id(),
            client_id=leg.client_id,
            symbol=entry.symbol,
            side=leg.side,
            type="STOP_MARKET" if leg.prefix == "sl" else "TAKE_PROFIT_MARKET",
            time_in_force="IMMEDIATE_OR_CANCEL",
            size=min(leg.size, entry.succeeded.size),
            price=leg.price,
            limit_fee=leg.limit_fee,
            expiration=leg.expiration,
            created_at=now,
            updated_at=now,
            trigger_price=leg.trigger_price,
            trigger_price_type=leg.trigger_price_type,
            reduce_only=True,
            status="UNTRIGGERED",
        )
        self._enter(order)
        self._wait(order)

    # -- small things ----------------------------------------------------------------------------------------------------------

    def _touch(self, order: ApexOrder) -> None:
        order.updated_at = self._clock.now()
        order.is_changed = True

    def _tell(self, orders: Iterable[ApexOrder], fills: Iterable[ApexFill] = (), positions: Iterable[PositionRow] = ()) -> None:
        if self.news is not None:
            self.news.account_changed(orders, fills, positions)

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        if delay_s <= 0:
            act()
        else:
            self._clock.call_later(delay_s, partial(self._run, act))

    def _run(self, act: Callable[[], None]) -> None:
        self._exchange.advance(self._clock.now())
        act()
