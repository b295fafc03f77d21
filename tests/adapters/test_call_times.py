"""How long one call of a lane may take at most, by its own deadlines: the watch takes what is longer for a wedge and ends the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from actors.children import LONGEST_CONNECT_S, LONGEST_READ_CALL_S, LONGEST_TRADE_CALL_S
from adapters import apex, backpack, grvt
from adapters.apex.api import AccountCache
from adapters.apex.api import Api as ApexApi
from adapters.apex.client import ApexQueryLane, ApexTradeLane
from adapters.apex.setup import ApexSetup
from adapters.backpack.api import Api as BackpackApi
from adapters.backpack.client import BackpackQueryLane, BackpackTradeLane, SubmitTimes
from adapters.backpack.clock import VenueClock as BackpackClock
from adapters.backpack.requests import FILLS_PAGE
from adapters.backpack.setup import BackpackSetup
from adapters.grvt.auth import LOGIN_DEADLINE_S
from adapters.grvt.caller import Caller
from adapters.grvt.client import GrvtQueryLane, GrvtTradeLane
from adapters.grvt.clock import VenueClock as GrvtClock
from adapters.grvt.setup import GrvtSetup
from adapters.grvt.signer import OrderSigner
from adapters.grvt.stream import GrvtTradingSession
from adapters.transport.rest import Outcome, Unknown
from adapters.transport.stream import CONNECT_DEADLINE_S
from core.messages import CancelAll, FetchFills, FetchOpenOrders, FetchPosition, PlaceOco, RenewDeadMan
from core.ports import VenueRefused
from core.types import Side
from tests.adapters.apex import support as apex_kit
from tests.adapters.backpack import support as backpack_kit
from tests.adapters.grvt import support as grvt_kit
from tests.adapters.grvt.support import FakeRest

LOST = Unknown("total deadline")
SHARES = (1.0, 0.9, 0.3)
"""Of the time that it has, what each answer takes: all of it, nearly all, and so little that there is time to ask again."""


class Time:
    """Passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SlowRest(FakeRest):
    """Answers every request alike, but an account where it is asked for one."""

    def __init__(self, time: Time, answer: Outcome, share: float, account: Outcome | None = None) -> None:
        super().__init__(answer)
        self._time = time
        self._share = share
        self._account = account

    def request(self, method: str, path: str, *, deadline_s: float | None = None, **more: Any) -> Outcome:
        assert deadline_s is not None
        self._time.now += deadline_s * self._share
        answer = super().request(method, path, deadline_s=deadline_s, **more)
        return self._account if self._account is not None and path.endswith("/account") else answer


class SlowAuth:
    """A login is needed for every request, and comes at the last moment."""

    sub_account_id = ""

    def __init__(self, time: Time) -> None:
        self._time = time

    def headers(self, wait_s: float = LOGIN_DEADLINE_S) -> Mapping[str, str]:
        self._time.now += max(wait_s, 0.0)
        return {"Cookie": "gravity=dummy"}

    def invalidate(self, used: Mapping[str, str]) -> None:
        pass


class Desk(NamedTuple):
    """A venue's lanes, and orders for them. ``resolve`` is asked again while the bot runs, on the thread of the query lane."""

    trade: Any
    query: Any
    resolve: Callable[[], object]
    kit: Any
    order: Any
    cancel: Any

    def trade_calls(self) -> dict[str, Callable[[], object]]:
        venue, symbol = self.kit.VENUE, self.kit.SYMBOL
        return {
            "place": lambda: self.trade.place(self.order()),
            "place_oco": lambda: self.trade.place_oco(PlaceOco(stop=self.order(), take_profit=self.order(price=Decimal("2700")))),
            "cancel": lambda: self.trade.cancel(self.cancel()),
            "cancel_all": lambda: self.trade.cancel_all(CancelAll(venue=venue, symbol=symbol)),
            "renew_dead_man": lambda: self.trade.renew_dead_man(RenewDeadMan(venue=venue, countdown_s=10.0)),
        }

    def reads(self) -> dict[str, Callable[[], object]]:
        venue, symbol = self.kit.VENUE, self.kit.SYMBOL
        reads = {
            "query_order": lambda: self.query.query_order(backpack_kit.query()),
            "fetch_open_orders": lambda: self.query.fetch_open_orders(FetchOpenOrders(venue=venue, symbol=symbol)),
            "fetch_fills": lambda: self.query.fetch_fills(FetchFills(venue=venue, symbol=symbol, lookback_s=60.0)),
            "fetch_position": lambda: self.query.fetch_position(FetchPosition(venue=venue, symbol=symbol)),
            "fetch_book": lambda: self.query.fetch_book(symbol),
            "resolve": self.resolve,
        }
        return reads | ({"worst_price": self._worst_price} if hasattr(self.query, "worst_price") else {})

    def _worst_price(self) -> object:
        return self.query.worst_price(Side.BUY, Decimal(1))


class GrvtKit:
    VENUE, SYMBOL = grvt_kit.GRVT, grvt_kit.SYMBOL


def grvt_desk(time: Time, answer: Outcome, share: float) -> Desk:
    clock, auth = GrvtClock(time), SlowAuth(time)

    def caller(deadline_s: float, *, is_public: bool = False) -> Caller:
        return Caller(SlowRest(time, answer, share), None if is_public else auth, clock, deadline_s, time)  # type: ignore[arg-type]

    trades, public = caller(grvt.QUERY_DEADLINE_S), caller(grvt.QUERY_DEADLINE_S, is_public=True)
    signer = OrderSigner(grvt_kit.KEY, 325)
    trade = GrvtTradeLane(caller(grvt.TRADE_DEADLINE_S), clock, signer, grvt_kit.ETH, grvt_kit.ACCOUNT)
    query = GrvtQueryLane(trades, public, clock, grvt_kit.ETH, grvt_kit.ACCOUNT, grvt.QUERY_DEADLINE_S)
    setup = GrvtSetup(trades, public, auth, clock, grvt_kit.SUB)  # type: ignore[arg-type]
    return Desk(trade, query, lambda: setup.resolve("ETH"), GrvtKit, grvt_kit.place_order, grvt_kit.cancel_order)


def backpack_desk(time: Time, answer: Outcome, share: float) -> Desk:
    clock = BackpackClock(wall_s=lambda: backpack_kit.WALL_S, sleep=lambda _: None)

    def api(deadline_s: float) -> BackpackApi:
        return BackpackApi(SlowRest(time, answer, share), backpack_kit.SIGNER, clock, deadline_s=deadline_s, now=time)

    trade = BackpackTradeLane(api(backpack.TRADE_DEADLINE_S), SubmitTimes())
    query, setup = BackpackQueryLane(api(backpack.QUERY_DEADLINE_S), SubmitTimes()), BackpackSetup(api(backpack.QUERY_DEADLINE_S))
    return Desk(trade, query, lambda: setup.resolve("ETH"), backpack_kit, backpack_kit.hedge_order, backpack_kit.cancel)


def apex_desk(time: Time, answer: Outcome, share: float) -> Desk:
    def api(deadline_s: float) -> ApexApi:
        rest = SlowRest(time, answer, share, apex_kit.ok(apex_kit.account_body()))
        return ApexApi(rest, apex_kit.KEY, apex_kit.make_clock(), AccountCache(), deadline_s=deadline_s, now=time)

    trade = ApexTradeLane(api(apex.TRADE_DEADLINE_S), apex_kit.BTC, apex_kit.FakeSigner())
    query, setup = ApexQueryLane(api(apex.QUERY_DEADLINE_S), apex_kit.BTC), ApexSetup(api(apex.QUERY_DEADLINE_S))
    return Desk(trade, query, lambda: setup.resolve("ETH"), apex_kit, apex_kit.order, apex_kit.cancel)


EXPIRED = backpack_kit.refused(400, {"code": "INVALID_CLIENT_REQUEST", "message": "Request has expired"})
FULL_PAGE = backpack_kit.ok([backpack_kit.fill_row(number) for number in range(FILLS_PAGE)])
NO_CONTRACT = apex_kit.ok({"contractConfig": {"perpetualContract": [], "assets": [{"token": "USDT", "decimals": 18}]}})
VENUES: dict[str, tuple[Callable[[Time, Outcome, float], Desk], tuple[Outcome, ...]]] = {
    "grvt": (grvt_desk, (LOST, grvt_kit.denied(1000, 401), grvt_kit.denied(2300))),
    "backpack": (backpack_desk, (LOST, EXPIRED, backpack_kit.NOT_FOUND, FULL_PAGE)),
    "apex": (apex_desk, (LOST, apex_kit.denied(20002), apex_kit.NOT_FOUND, NO_CONTRACT)),
}
"""With the answers that make a lane ask again: no session, no such time-to-live, a clock that is off, not found, more pages."""


def took(venue: str, calls: Callable[[Desk], dict[str, Callable[[], object]]]) -> Iterator[tuple[str, float]]:
    make, answers = VENUES[venue]
    for share in SHARES:
        for answer in answers:
            time = Time()
            for name, call in calls(make(time, answer, share)).items():
                begun_at = time.now
                with suppress(VenueRefused):
                    call()
                yield name, time.now - begun_at


@pytest.mark.parametrize("venue", VENUES)
def test_no_trade_call_takes_longer_than_the_watch_is_told(venue: str) -> None:
    """Logins, repetitions and a look at the venue's clock included."""
    assert [] == [(name, s) for name, s in took(venue, Desk.trade_calls) if s > LONGEST_TRADE_CALL_S]


@pytest.mark.parametrize("venue", VENUES)
def test_no_read_takes_longer_than_the_watch_is_told(venue: str) -> None:
    """All pages included, and the instrument that is looked at every ten minutes."""
    assert [] == [(name, s) for name, s in took(venue, Desk.reads) if s > LONGEST_READ_CALL_S]


def test_no_connection_takes_longer_than_the_watch_is_told() -> None:
    """A login at the last moment, and then a handshake as late."""
    time = Time()
    session = GrvtTradingSession(grvt_kit.ACCOUNT, "wss://venue/ws/full", SlowAuth(time))  # type: ignore[arg-type]
    begun_at = time.now
    session.endpoint()
    assert time.now - begun_at + CONNECT_DEADLINE_S <= LONGEST_CONNECT_S
