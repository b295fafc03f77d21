"""The two lanes: what each outcome of a request proves, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from adapters.grvt.caller import Caller
from adapters.grvt.client import GrvtQueryLane, GrvtTradeLane
from adapters.grvt.clock import VenueClock
from adapters.grvt.signer import OrderSigner
from adapters.transport.rest import NotSent, Ok, Outcome, Refused, Unknown
from core.messages import (
    CancelAll,
    CancelFailed,
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillsFetched,
    Message,
    OpenOrdersFetched,
    OrderAccepted,
    OrderRejected,
    PlaceOco,
    QueryFailed,
    QueryOrder,
    RenewDeadMan,
)
from core.types import ClientOrderId, OrderState, Side, TimeInForce
from tests.adapters.grvt.support import (
    ACCOUNT,
    API_KEY,
    BASE,
    COOKIE,
    ETH,
    GRVT,
    KEY,
    SYMBOL,
    UNKNOWN,
    FakeClock,
    FakeRest,
    cancel_order,
    denied,
    encoded,
    fill_json,
    kinds,
    login_ok,
    ok,
    order_json,
    place_order,
    wire,
)

PENDING = ok({"result": order_json("PENDING", order_id="0x00")})
HTML_403 = Refused(403, {}, b"<html>challenge</html>", None)
ACK = ok({"result": {"ack": True}})


class Rig:
    """A lane over a scripted venue."""

    def __init__(self, *script: Outcome | Callable[[bytes], Outcome], edge: FakeRest | None = None) -> None:
        self.clock = FakeClock()
        self.rest = FakeRest(*script)
        self.edge = edge or FakeRest(login_ok())
        self.venue_clock = VenueClock(lambda: self.clock.wall)
        self.caller = Caller(self.rest, self.clock.auth(self.edge), self.venue_clock, 3.0, lambda: self.clock.monotonic)

    @property
    def trade(self) -> GrvtTradeLane:
        return GrvtTradeLane(self.caller, self.venue_clock, OrderSigner(KEY, 325), ETH, ACCOUNT)

    @property
    def query(self) -> GrvtQueryLane:
        return GrvtQueryLane(self.caller, self.caller, self.venue_clock, ETH, ACCOUNT, 5.0)

    def expiration_ms(self) -> int:
        return int(self.rest.bodies()[0]["order"]["signature"]["expiration"]) // 1_000_000


# ---- place -------------------------------------------------------------------------------------------------------------------


def test_an_acknowledged_order_has_no_venue_id_yet() -> None:
    """PENDING with 0x00: accepted, and nothing else is known."""
    rig = Rig(PENDING)
    expected = OrderAccepted(venue=GRVT, client_order_id=ClientOrderId(7), venue_order_id=None, at=rig.clock.monotonic)
    assert (expected,) == rig.trade.place(place_order())


def test_an_answer_that_says_more_than_pending_is_passed_on() -> None:
    """REJECTED inside a 200 reaches the tracker as a report."""
    messages = Rig(ok({"result": order_json("REJECTED", reason="FAIL_POST_ONLY")})).trade.place(place_order())
    assert ["OrderAccepted", "OrderReported"] == kinds(messages)
    assert OrderState.REJECTED is messages[1].state  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (denied(2064), ["OrderRejected"]),
        (denied(2090, 429), ["OrderRejected"]),
        (denied(1006, 429), ["OrderRejected", "RateLimited"]),
        (NotSent("refused"), ["SubmitNotSent"]),
        (UNKNOWN, ["SubmitUnknown"]),
        (Unknown("status 502", 502, b"<html>"), ["SubmitUnknown"]),
        (Unknown("status 500", 500, encoded({"code": 1002, "message": "Internal"})), ["SubmitUnknown"]),
        (Ok(200, {}, b""), ["SubmitUnknown"]),
        (Ok(200, {}, b"{}"), ["SubmitUnknown"]),
        (Ok(200, {}, b"<html>"), ["SubmitUnknown"]),
        (ok({"result": order_json(client_order_id=str(BASE + 8))}), ["SubmitUnknown"]),
        (ok({"result": order_json(sub="1")}), ["SubmitUnknown"]),
        (HTML_403, ["SubmitUnknown"]),
        (Refused(429, {}, b"<html>", 2.0), ["SubmitUnknown", "RateLimited"]),
        (Refused(307, {}, b"", None), ["SubmitUnknown"]),
    ],
)
def test_every_outcome_of_a_submit_has_its_class(outcome: Outcome, expected: list[str]) -> None:
    """Only the venue's own typed error is a rejection; every other doubt is unknown."""
    assert expected == kinds(Rig(outcome).trade.place(place_order()))


@pytest.mark.parametrize(
    ("code", "permanent"),
    [
        (2064, True),
        (3000, True),
        (1400, True),
        (1001, True),
        (9999, True),
        (2080, False),
        (2012, False),
        (2090, False),
        (1006, False),
    ],
)
def test_permanent_rejections_are_told_from_passing_ones(code: int, permanent: bool) -> None:
    """An unlisted code is permanent, so that nothing loops on it."""
    rejected = Rig(denied(code)).trade.place(place_order())[0]
    assert isinstance(rejected, OrderRejected)
    assert (str(code), permanent) == (rejected.code, rejected.permanent)


# ---- a linked pair -------------------------------------------------------------------------------------------------------------

OCO = PlaceOco(stop=place_order(), take_profit=place_order(client_order_id=ClientOrderId(8)))
UNSTATED = {"state": {"status": "UNSPECIFIED", "reject_reason": "UNSPECIFIED", "book_size": None, "traded_size": None}}


def bulk(*numbers: int) -> Outcome:
    orders = [order_json(order_id="0x00", client_order_id=str(BASE + number)) | UNSTATED for number in numbers]
    return ok({"orders": orders, "cancel_acks": []})


def test_a_pair_is_one_request_with_an_outcome_for_each() -> None:
    """The stop's comes first; the states of the bare reply say nothing."""
    rig = Rig(bulk(8, 7))
    outcomes = rig.trade.place_oco(OCO)
    assert [("OrderAccepted", 7), ("OrderAccepted", 8)] == [(type(each).__name__, each.client_order_id) for each in outcomes]  # type: ignore[attr-defined]
    assert ["/full/v2/bulk_orders"] == [path for _, path, _, _ in rig.rest.sent]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (denied(2236), ["OrderRejected"] * 2),
        (denied(1006, 429), ["OrderRejected", "OrderRejected", "RateLimited"]),
        (NotSent("refused"), ["SubmitNotSent"] * 2),
        (UNKNOWN, ["SubmitUnknown"] * 2),
        (Ok(200, {}, b"{}"), ["SubmitUnknown"] * 2),
        (ok({"orders": None, "cancel_acks": []}), ["SubmitUnknown"] * 2),
        (ok({"result": order_json()}), ["SubmitUnknown"] * 2),
        (bulk(7), ["OrderAccepted", "SubmitUnknown"]),
        (bulk(8, 9), ["SubmitUnknown", "OrderAccepted"]),
    ],
)
def test_every_outcome_of_a_pair_is_one_of_each_order(outcome: Outcome, expected: list[str]) -> None:
    """A lost answer leaves both unknown, an answer about one of them the other."""
    assert expected == kinds(Rig(outcome).trade.place_oco(OCO))


def test_a_pair_that_cannot_be_signed_is_not_sent() -> None:
    """Neither of the two, whichever it is."""
    rig = Rig(bulk(7, 8))
    odd = place_order(client_order_id=ClientOrderId(8), quantity=Decimal("0.1600000000001"))
    outcomes = rig.trade.place_oco(PlaceOco(stop=place_order(), take_profit=odd))
    assert (["OrderRejected"] * 2, []) == (kinds(outcomes), rig.rest.sent)


def test_every_documented_error_code_of_create_order_is_classified() -> None:
    """No code of the specification falls through."""
    for line in wire("errors.jsonl"):
        outcome = denied(line["code"], line["http"]) if line["http"] < 500 else Unknown("status", line["http"], b"")
        first = kinds(Rig(outcome).trade.place(place_order()))[0]
        assert ("OrderRejected" if line["http"] < 500 else "SubmitUnknown") == first, line["code"]


def test_the_wait_the_venue_names_reaches_the_limiter() -> None:
    """Retry-After travels with the message."""
    limited = Rig(denied(1006, 429, retry_after_s=1.5)).trade.place(place_order())[1]
    assert 1.5 == limited.retry_after_s  # type: ignore[attr-defined]


def test_an_order_that_cannot_be_signed_is_rejected_without_a_request() -> None:
    """Excess decimals: permanent, and nothing leaves."""
    rig = Rig(PENDING)
    rejected = rig.trade.place(place_order(price=Decimal("1.0000000001")))[0]
    assert isinstance(rejected, OrderRejected)
    assert (True, []) == (rejected.permanent, rig.rest.sent)


def test_the_order_lives_as_long_as_it_says() -> None:
    """Expiration = venue clock + lifetime: the venue itself ends an orphan."""
    rig = Rig(PENDING)
    rig.venue_clock.measured(400.0)
    rig.trade.place(place_order(lifetime_s=15.0))
    assert int(rig.clock.wall * 1000) + 400 + 15_000 == rig.expiration_ms()


def test_the_default_lifetime_is_a_minute() -> None:
    """0 means the default, not "for ever"."""
    rig = Rig(PENDING)
    rig.trade.place(place_order())
    assert int(rig.clock.wall * 1000) + 60_000 == rig.expiration_ms()


def test_a_stepped_local_clock_is_corrected_by_the_date_header() -> None:
    """A machine that woke up an hour off signs right once two answers have said so."""
    rig = Rig(PENDING)
    for offset_ms in (3_600_100.0, 3_600_000.0):
        rig.rest.date_offset_ms = offset_ms
        rig.trade.place(place_order())
    rig.rest.sent.clear()
    rig.trade.place(place_order())
    assert int(rig.clock.wall * 1000) + 3_600_000 + 60_000 == rig.expiration_ms()


def test_an_ioc_order_is_sent_as_such() -> None:
    """The unwind path of the maker venue."""
    rig = Rig(PENDING)
    rig.trade.place(place_order(side=Side.SELL, time_in_force=TimeInForce.IOC, post_only=False, reduce_only=True))
    order = rig.rest.bodies()[0]["order"]
    assert ("IMMEDIATE_OR_CANCEL", True) == (order["time_in_force"], order["reduce_only"])


# ---- the session -------------------------------------------------------------------------------------------------------------


def test_error_1000_is_answered_by_one_login_and_the_identical_bytes() -> None:
    """A call answered 1000 was not processed; the repetition is the same signed payload with a new cookie."""
    edge = FakeRest(login_ok(), login_ok("gravity=second"))
    rig = Rig(denied(1000, 401), PENDING, edge=edge)
    messages = rig.trade.place(place_order())
    assert ["OrderAccepted"] == kinds(messages)
    assert rig.rest.sent[0][2] == rig.rest.sent[1][2]
    assert [COOKIE, "gravity=second"] == [headers["Cookie"] for *_, headers in rig.rest.sent]


def test_a_second_1000_is_final() -> None:
    """No login loop."""
    rig = Rig(denied(1000, 401))
    assert (["OrderRejected"], 2, 2) == (kinds(rig.trade.place(place_order())), len(rig.rest.sent), len(rig.edge.sent))


def test_an_html_403_costs_no_login() -> None:
    """A challenge page of the proxy is no authentication error."""
    rig = Rig(HTML_403)
    rig.trade.place(place_order())
    assert (1, 1) == (len(rig.rest.sent), len(rig.edge.sent))


@pytest.mark.parametrize(("code", "permanent"), [(1000, True), (1006, False), (1009, False)])
def test_a_login_that_the_venue_refuses_is_a_refusal_of_the_order(code: int, permanent: bool) -> None:
    """One attempt to log in, and no order. A key that it does not accept is refused for good, a venue that is busy or closed is not."""
    rig = Rig(PENDING, edge=FakeRest(denied(code, 401)))
    rejected = rig.trade.place(place_order())[0]
    assert isinstance(rejected, OrderRejected)
    assert (permanent, [], 1) == (rejected.permanent, rig.rest.sent, len(rig.edge.sent))


def test_without_a_session_nothing_is_sent() -> None:
    """A login that fails means: the order never left."""
    rig = Rig(PENDING, edge=FakeRest(UNKNOWN))
    assert (["SubmitNotSent"], []) == (kinds(rig.trade.place(place_order())), rig.rest.sent)


def test_a_request_gets_the_time_that_its_login_left() -> None:
    """One deadline for both."""
    rig = Rig(ACK)

    def slow(_: bytes) -> Outcome:
        rig.clock.move(1.2)
        return login_ok()

    rig.edge.script = [slow]
    rig.trade.cancel(cancel_order())
    assert [pytest.approx(1.8)] == rig.rest.deadlines


def test_a_cancel_does_not_wait_while_a_cookie_lives() -> None:
    """The renewal is under way and unanswered, and the cancel is through."""
    rig = Rig(ACK)
    auth = rig.clock.auth(rig.edge, run=lambda work: None if rig.edge.sent else work())
    auth.headers()
    rig.clock.move(23 * 3600 + 60)
    caller = Caller(rig.rest, auth, rig.venue_clock, 2.0, lambda: rig.clock.monotonic)
    messages = GrvtTradeLane(caller, rig.venue_clock, OrderSigner(KEY, 325), ETH, ACCOUNT).cancel(cancel_order())
    assert (["CancelAcknowledged"], [2.0]) == (kinds(messages), rig.rest.deadlines)


def test_the_repetition_stays_within_the_deadline() -> None:
    """The second try gets what the first left; with nothing left it is not made."""
    rig = Rig(denied(1000, 401))

    def slow(_: bytes) -> Outcome:
        rig.clock.move(2.8)
        return denied(1000, 401)

    rig.rest.script = [slow]
    assert (["SubmitNotSent"], 1) == (kinds(rig.trade.place(place_order())), len(rig.rest.sent))


def test_private_calls_carry_cookie_and_account_id() -> None:
    """Both headers, on every call."""
    rig = Rig(ACK)
    rig.trade.cancel(cancel_order())
    headers = rig.rest.sent[0][3]
    assert (COOKIE, "ACC:1", "application/json") == (headers["Cookie"], headers["X-Grvt-Account-Id"], headers["Content-Type"])


@pytest.mark.parametrize(
    "outcome",
    [
        Refused(400, {}, encoded({"code": 2002, "message": f"{COOKIE} 0x{'ab' * 32}"}), None),
        Unknown(f"reset {COOKIE}"),
        NotSent(f"dial {COOKIE}"),
        ok({"result": {"legs": f"{COOKIE}"}}),
    ],
)
def test_no_message_holds_a_secret(outcome: Outcome) -> None:
    """Cookie, key and signature stay out, even where the venue or a library repeats them."""
    rig = Rig(outcome)
    text = repr(rig.trade.place(place_order()) + rig.trade.cancel(cancel_order()) + rig.query.fetch_open_orders(OPEN))
    assert [word for word in ("dummy-cookie-canary", API_KEY, "abab", "22" * 8) if word in text] == []


# ---- cancel ------------------------------------------------------------------------------------------------------------------


def test_an_acknowledged_cancel_is_only_received() -> None:
    """The outcome is a later stream event."""
    assert ["CancelAcknowledged"] == kinds(Rig(ACK).trade.cancel(cancel_order()))


@pytest.mark.parametrize(("ttl_ms", "expected"), [(None, "5000"), (1000, "1000"), (9000, "5000")])
def test_a_cancel_is_always_armed(ttl_ms: int | None, expected: str) -> None:
    """So that an acknowledgement also ends a create that is still on its way."""
    rig = Rig(ACK)
    rig.trade.cancel(cancel_order(ttl_ms=ttl_ms))
    assert expected == rig.rest.bodies()[0]["time_to_live_ms"]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (denied(1003), "refused"),
        (NotSent("refused"), "not_sent"),
        (UNKNOWN, "unknown"),
        (ok({"result": {"ack": False}}), "unknown"),
        (ok(b"{}"), "unknown"),
        (HTML_403, "unknown"),
    ],
)
def test_a_failed_cancel_says_how(outcome: Outcome, kind: str) -> None:
    """None of them proves anything about the order."""
    failed = Rig(outcome).trade.cancel(cancel_order())[0]
    assert isinstance(failed, CancelFailed)
    assert kind == failed.kind


def test_a_rate_limited_cancel_tells_the_limiter() -> None:
    """1006 on a cancel."""
    assert ["CancelFailed", "RateLimited"] == kinds(Rig(denied(1006, 429)).trade.cancel(cancel_order()))


def test_where_time_to_live_is_disabled_a_plain_cancel_goes_out_but_bounds_nothing() -> None:
    """2300: the order is cancelled if it rests, yet no acknowledgement claims that a late create dies."""
    rig = Rig(denied(2300), ACK)
    messages = rig.trade.cancel(cancel_order())
    assert (["CancelFailed"], False) == (kinds(messages), "time_to_live_ms" in rig.rest.bodies()[1])


@pytest.mark.parametrize(
    ("outcome", "expected"), [(ACK, []), (UNKNOWN, ["QueryFailed"]), (denied(1006, 429), ["QueryFailed", "RateLimited"])]
)
def test_cancel_all_and_the_dead_man_answer_nothing_on_success(outcome: Outcome, expected: list[str]) -> None:
    """Silence is success; a failure names its command."""
    lane = Rig(outcome).trade
    assert expected == kinds(lane.cancel_all(CancelAll(venue=GRVT, symbol=SYMBOL)))
    assert expected == kinds(lane.renew_dead_man(RenewDeadMan(venue=GRVT, countdown_s=15.0)))


# ---- reads -------------------------------------------------------------------------------------------------------------------

QUERY = QueryOrder(venue=GRVT, symbol=SYMBOL, client_order_id=ClientOrderId(7))
OPEN = FetchOpenOrders(venue=GRVT, symbol=SYMBOL)
FILLS = FetchFills(venue=GRVT, symbol=SYMBOL, lookback_s=60.0)
POSITION = FetchPosition(venue=GRVT, symbol=SYMBOL)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ok({"result": order_json("FILLED", "0.16")}), ["OrderReported"]),
        (denied(1004, 404), ["OrderNotFound"]),
        (Refused(404, {}, b"<html>", None), ["QueryFailed"]),
        (denied(1003), ["QueryFailed"]),
        (denied(1006, 429), ["QueryFailed", "RateLimited"]),
        (ok({"result": order_json(client_order_id=str(BASE + 8))}), ["QueryFailed"]),
        (ok(b"{}"), ["QueryFailed"]),
        (UNKNOWN, ["QueryFailed"]),
        (NotSent("refused"), ["QueryFailed"]),
    ],
)
def test_only_the_venues_own_word_is_not_found(outcome: Outcome, expected: list[str]) -> None:
    """A proxy's 404, another order's answer, and silence are failures of the query."""
    assert expected == kinds(Rig(outcome).query.query_order(QUERY))


def test_open_orders_are_those_of_the_symbol() -> None:
    """Orders of other contracts are left out; the list says when it was asked for."""
    rows = [order_json(), order_json(symbol="BTC_USDT_Perp", client_order_id=str(BASE + 8))]
    fetched = Rig(ok({"result": rows})).query.fetch_open_orders(OPEN)[0]
    assert isinstance(fetched, OpenOrdersFetched)
    assert [7] == [order.client_order_id for order in fetched.orders]


@pytest.mark.parametrize("outcome", [UNKNOWN, ok(b"{}"), ok({"result": None}), denied(1006, 429), HTML_403])
def test_a_failed_read_is_never_an_empty_one(outcome: Outcome) -> None:
    """Throttled does not mean flat, nor "nothing open", nor "no fills"."""
    query = Rig(outcome).query
    answers = query.fetch_open_orders(OPEN), query.fetch_fills(FILLS), query.fetch_position(POSITION)
    assert ["QueryFailed"] * 3 == [kinds(answer)[0] for answer in answers]


def pages(*contents: dict[str, Any]) -> Rig:
    return Rig(*(ok(content) for content in contents))


def test_fills_are_paged_to_the_end() -> None:
    """Cursor by cursor, oldest first, from the venue's clock minus the look-back."""
    rig = pages(
        {"result": [fill_json("2-1", time_ms=2000)], "next": "abc"}, {"result": [fill_json("1-1", time_ms=1000)], "next": ""}
    )
    rig.venue_clock.measured(500.0)
    fetched = rig.query.fetch_fills(FILLS)[0]
    assert isinstance(fetched, FillsFetched)
    since_ms = int(rig.clock.wall * 1000) + 500 - 60_000
    assert (["1-1", "2-1"], 60.0) == ([fill.trade_id for fill in fetched.fills], fetched.lookback_s)
    sent = [(body["cursor"], body["start_time"]) for body in rig.rest.bodies()]
    assert [("", str(since_ms * 1_000_000)), ("abc", str(since_ms * 1_000_000))] == sent


def test_a_history_that_ends_in_a_failure_is_a_failure() -> None:
    """Half the pages look like all of them."""
    rig = Rig(ok({"result": [fill_json()], "next": "abc"}), UNKNOWN)
    assert ["QueryFailed"] == kinds(rig.query.fetch_fills(FILLS))


def test_a_cursor_that_turns_in_a_circle_ends_the_query() -> None:
    """A broken pager costs three requests, not for ever."""
    rig = pages({"result": [], "next": "abc"}, {"result": [], "next": "def"}, {"result": [], "next": "abc"})
    assert (["QueryFailed"], 3) == (kinds(rig.query.fetch_fills(FILLS)), len(rig.rest.sent))


def test_paging_stays_within_the_lanes_deadline() -> None:
    """Pages that trickle in do not hold the lane."""
    rig = Rig(PENDING)
    count = iter(range(1000))

    def slow(_: bytes) -> Outcome:
        rig.clock.move(2.0)
        return ok({"result": [], "next": f"c{next(count)}"})

    rig.rest.script = [slow]
    assert (["QueryFailed"], 3) == (kinds(rig.query.fetch_fills(FILLS)), len(rig.rest.sent))
    assert [5.0, 3.0, 1.0] == rig.rest.deadlines


@pytest.mark.parametrize(
    ("rows", "expected"), [([], "0"), ([("ETH_USDT_Perp", "-0.16")], "-0.16"), ([("BTC_USDT_Perp", "1")], "0")]
)
def test_the_position_is_signed_and_ours(rows: list[tuple[str, str]], expected: str) -> None:
    """Negative for short; another contract's row is not ours; an empty list in a whole answer is flat."""
    body = {"result": [{"sub_account_id": ACCOUNT.sub_account_id, "instrument": name, "size": size} for name, size in rows]}
    answer: Message = Rig(ok(body)).query.fetch_position(POSITION)[0]
    assert Decimal(expected) == answer.quantity  # type: ignore[attr-defined]


def test_the_book_by_rest_is_cut_to_twenty_levels() -> None:
    """Best first on both sides."""
    levels = [{"price": str(1000 + n), "size": "1", "num_orders": 1} for n in range(50)]
    asks = [{"price": str(2000 + n), "size": "1"} for n in range(50)]
    body = {"result": {"event_time": "1", "instrument": SYMBOL, "bids": levels, "asks": asks}}
    book = Rig(ok(body)).query.fetch_book(SYMBOL)
    assert book is not None
    assert (20, Decimal(1049), Decimal(2000)) == (len(book.bids), book.bids[0].price, book.asks[0].price)


@pytest.mark.parametrize("outcome", [UNKNOWN, ok(b"{}"), denied(1006, 429)])
def test_a_failed_book_read_is_none(outcome: Outcome) -> None:
    """The fallback has no book then."""
    assert Rig(outcome).query.fetch_book(SYMBOL) is None


def test_failures_name_the_query_and_the_order() -> None:
    """What the tracker needs to ask again."""
    failed = Rig(UNKNOWN).query.query_order(QUERY)[0]
    assert isinstance(failed, QueryFailed)
    assert ("QueryOrder", 7) == (failed.query, failed.client_order_id)


def test_a_request_body_is_never_empty() -> None:
    """An empty body is answered 1003."""
    rig = Rig(ok({"result": []}))
    rig.query.fetch_position(POSITION)
    assert json.loads(rig.rest.sent[0][2])["sub_account_id"] == ACCOUNT.sub_account_id
