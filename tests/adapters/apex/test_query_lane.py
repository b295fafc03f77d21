"""Claims on the query lane: what each read says, and when it says nothing."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qs

import pytest

from adapters.apex import requests
from adapters.apex.api import MAX_PAGES
from adapters.apex.client import HISTORY_LOOKBACK_MS, ApexQueryLane
from adapters.transport.rest import NotSent, Ok, Outcome, Unknown
from core.messages import (
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillsFetched,
    Message,
    OpenOrdersFetched,
    OrderNotFound,
    OrderReported,
    PositionReported,
    QueryFailed,
    RateLimited,
)
from core.types import Level, OrderState, Side
from tests.adapters.apex.support import (
    BAN_PAGE,
    BTC,
    NOT_FOUND,
    SYMBOL,
    VENUE,
    WALL_MS,
    FakeRest,
    Time,
    account_body,
    denied,
    fill_row,
    make_api,
    ok,
    order_body,
    position_row,
    query,
    refused,
)

BROKEN: list[Outcome] = [
    Unknown("status 500", 500, b""),
    NotSent("refused"),
    Ok(200, {}, b"<html>"),
    Ok(200, {}, b""),
    denied(10002, "no"),
    denied(31337, "no"),
    refused(404, "<html>no such page</html>"),
    ok([1]),
]


def lane_of(*outcomes: Outcome, time: Time | None = None) -> tuple[ApexQueryLane, FakeRest]:
    rest = FakeRest(*outcomes)
    return ApexQueryLane(make_api(rest, account=None, time=time), BTC), rest


def page(*rows: object, total: int | None = None) -> Ok:
    """``total``: of all pages, where they are more than this one."""
    return ok({"orders": list(rows), "totalSize": len(rows) if total is None else total})


def types(messages: tuple[Message, ...]) -> list[type]:
    return [type(message) for message in messages]


@pytest.mark.parametrize(
    ("status", "filled", "expected"),
    [("OPEN", "0", OrderState.ACCEPTED), ("FILLED", "0.002", OrderState.FILLED), ("CANCELED", "0.001", OrderState.CANCELED)],
)
def test_an_order_is_reported_ended_or_not(status: str, filled: str, expected: OrderState) -> None:
    """One read is enough, and no fill is made of it."""
    [report] = lane_of(ok(order_body(status=status, cumSuccessFillSize=filled)))[0].query_order(query())
    assert isinstance(report, OrderReported)
    assert (7, expected, Decimal(filled)) == (report.client_order_id, report.state, report.filled_quantity)


@pytest.mark.parametrize("missing", [NOT_FOUND, ok(None), ok({})])
def test_absence_needs_the_history_too(missing: Outcome) -> None:
    """Neither the look-up nor the history shows it; asked_at is the moment before the first read."""
    lane, rest = lane_of(missing, page(order_body(id="1", clientId="pf-8", clientOrderId="pf-8")), time=Time(55.0))
    [absent] = lane.query_order(query())
    assert isinstance(absent, OrderNotFound)
    since = parse_qs(rest.sent[1].query)["beginTimeInclusive"]
    assert (7, 55.0, [str(WALL_MS - HISTORY_LOOKBACK_MS)]) == (absent.client_order_id, absent.asked_at, since)


def test_an_order_that_only_the_history_shows_is_reported() -> None:
    """The look-up may lag."""
    [report] = lane_of(NOT_FOUND, page(order_body(status="CANCELED")))[0].query_order(query())
    assert isinstance(report, OrderReported)
    assert OrderState.CANCELED is report.state


@pytest.mark.parametrize("outcome", BROKEN)
def test_a_failed_lookup_proves_nothing(outcome: Outcome) -> None:
    """No OrderNotFound, and the history is not even read."""
    messages = lane_of(outcome)[0].query_order(query())
    assert [("QueryOrder", 7)] == [(m.query, m.client_order_id) for m in messages if isinstance(m, QueryFailed)]


@pytest.mark.parametrize("outcome", [*BROKEN, NOT_FOUND, ok(None), page({"symbol": SYMBOL})])
def test_a_failed_history_proves_nothing(outcome: Outcome) -> None:
    """The look-up's word alone is no absence."""
    assert [QueryFailed] == types(lane_of(NOT_FOUND, outcome)[0].query_order(query()))


@pytest.mark.parametrize("changes", [{"clientId": "pf-8"}, {"symbol": "ETH-USDT"}, {"id": "1"}])
def test_a_lookup_that_answers_another_order_fails(changes: dict[str, object]) -> None:
    """Another order's state must not be booked on ours."""
    assert [QueryFailed] == types(lane_of(ok(order_body(**changes)))[0].query_order(query("800000000000000001")))


def test_open_orders_are_those_of_the_symbol() -> None:
    """A bare list; an empty one is an answer."""
    lane, rest = lane_of(ok([order_body(status="OPEN"), {"symbol": "ETH-USDT"}]), ok([]))
    answers = [lane.fetch_open_orders(FetchOpenOrders(venue=VENUE, symbol=SYMBOL))[0] for _ in range(2)]
    assert [1, 0] == [len(answer.orders) for answer in answers if isinstance(answer, OpenOrdersFetched)]
    assert "showPositionOrders=true" == rest.sent[0].query


@pytest.mark.parametrize("outcome", [*BROKEN[:-1], ok({}), ok(None), ok([order_body(cumSuccessFillSize="x")])])
def test_a_failed_read_of_open_orders_is_not_empty(outcome: Outcome) -> None:
    """An empty list counts only inside a well-formed answer."""
    assert [QueryFailed] == types(lane_of(outcome)[0].fetch_open_orders(FetchOpenOrders(venue=VENUE, symbol=SYMBOL)))


def test_fills_are_paged_until_a_short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the next page repeats is one fill; pages count from 0."""
    monkeypatch.setattr(requests, "PAGE", 2)
    rows = [fill_row(id=str(index), createdAt=WALL_MS - index) for index in range(1, 5)]
    lane, rest = lane_of(page(rows[0], rows[1]), page(rows[1], rows[2]), page(rows[3]))
    [answer] = lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert isinstance(answer, FillsFetched)
    assert (["4", "3", "2", "1"], [["0"], ["1"], ["2"]]) == (
        [fill.trade_id for fill in answer.fills],
        [parse_qs(sent.query)["page"] for sent in rest.sent],
    )


def test_pages_shorter_than_asked_for_are_read_to_the_end() -> None:
    """A venue that caps its pages lower must not cost us the rest."""
    lane, rest = lane_of(
        *(page(fill_row(id=str(index)), fill_row(id=str(index + 1)), total=5) for index in (1, 3)),
        page(fill_row(id="5"), total=5),
    )
    [answer] = lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert isinstance(answer, FillsFetched)
    assert (5, 3) == (len(answer.fills), len(rest.sent))


@pytest.mark.parametrize("rows", [[], None])
def test_an_empty_page_is_the_end_whatever_is_counted(rows: list[object] | None) -> None:
    """The count may be of the whole history, whatever the span that was asked for; a quiet minute must not look like a failed read."""
    lane, rest = lane_of(page(fill_row(), total=14), ok({"orders": rows, "totalSize": 14}))
    [answer] = lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert isinstance(answer, FillsFetched)
    assert (1, 2) == (len(answer.fills), len(rest.sent))


def test_a_count_that_is_none_is_a_failed_read() -> None:
    lane, _ = lane_of(ok({"orders": [], "totalSize": "many"}))
    assert [QueryFailed] == types(lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0)))


def test_a_page_without_a_count_ends_by_its_length() -> None:
    """As one whose count is of the page alone does."""
    lane, rest = lane_of(ok({"orders": [fill_row()]}))
    [answer] = lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert isinstance(answer, FillsFetched)
    assert (1, 1) == (len(answer.fills), len(rest.sent))


def test_fetched_fills_are_censored_ones_of_the_symbol_since_then() -> None:
    """Pending and failed ones, other symbols and older rows are not part of the answer."""
    rows = [
        fill_row(id="1", createdAt=WALL_MS),
        fill_row(id="2", createdAt=WALL_MS - 60_001),
        fill_row(id="3", symbol="ETH-USDT"),
        fill_row(id="4", status="PENDING_CENSORING"),
        fill_row(id="5", status="FAILED_L2_REJECTED"),
    ]
    [answer] = lane_of(page(*rows))[0].fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert isinstance(answer, FillsFetched)
    assert (["1"], 60.0) == ([fill.trade_id for fill in answer.fills], answer.lookback_s)


def test_a_history_without_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part of a history must not pass for all of it."""
    monkeypatch.setattr(requests, "PAGE", 1)
    lane, _ = lane_of(*(page(fill_row(id=str(index))) for index in range(MAX_PAGES)))
    assert [QueryFailed] == types(lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0)))


def test_pages_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane answers within its total deadline, however many requests it needs."""
    monkeypatch.setattr(requests, "PAGE", 1)
    time = Time(0.0)
    lane, rest = lane_of(*(page(fill_row(id=str(index))) for index in range(MAX_PAGES)), time=time)
    ask = rest.request

    def slow(*args: object, **kwargs: object) -> Outcome:
        time.now += 2.0
        return ask(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(rest, "request", slow)
    messages = lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert ([QueryFailed], 3) == (types(messages), len(rest.sent))


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([position_row("LONG", "0.000"), position_row("SHORT", "0.003")], Decimal("-0.003")),
        ([position_row("SHORT", "0"), position_row("LONG", "0.5")], Decimal("0.5")),
        ([position_row("LONG", "0.5"), position_row("LONG", "0.25")], Decimal("0.75")),
        ([position_row("LONG", "9", "ETH-USDT")], Decimal(0)),
        ([], Decimal(0)),
        (None, Decimal(0)),
    ],
)
def test_a_position_is_long_minus_short(positions: object, expected: Decimal) -> None:
    """In whatever order the rows come; a symbol without rows is flat."""
    lane, _ = lane_of(ok(account_body(positions=positions)))
    [report] = lane.fetch_position(FetchPosition(venue=VENUE, symbol=SYMBOL))
    assert isinstance(report, PositionReported)
    assert expected == report.quantity


@pytest.mark.parametrize("outcome", [*BROKEN, ok({}), ok(account_body(positions=[position_row("BOTH", "1")]))])
def test_a_failed_position_read_is_not_flat(outcome: Outcome) -> None:
    """QueryFailed and nothing else."""
    assert [QueryFailed] == types(lane_of(outcome)[0].fetch_position(FetchPosition(venue=VENUE, symbol=SYMBOL)))


def test_a_position_read_refreshes_what_signatures_need() -> None:
    """A changed fee level would void every later order's signature."""
    api = make_api(FakeRest(ok(account_body(contractAccount={"takerFeeRate": "0.0004", "makerFeeRate": "0"}))))
    ApexQueryLane(api, BTC).fetch_position(FetchPosition(venue=VENUE, symbol=SYMBOL))
    assert api.accounts.known is not None
    assert Decimal("0.0004") == api.accounts.known.fees.taker


@pytest.mark.parametrize(("outcome", "pause_s"), [(BAN_PAGE, 60.0), (denied(10003), None)])
def test_too_many_requests_are_a_failure_and_a_rate_limit(outcome: Outcome, pause_s: float | None) -> None:
    """For every read alike."""
    lane, _ = lane_of(outcome, outcome, outcome, outcome)
    answers = [
        lane.query_order(query()),
        lane.fetch_open_orders(FetchOpenOrders(venue=VENUE, symbol=SYMBOL)),
        lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=1.0)),
        lane.fetch_position(FetchPosition(venue=VENUE, symbol=SYMBOL)),
    ]
    assert [[QueryFailed, RateLimited]] * 4 == [types(answer) for answer in answers]
    assert {pause_s} == {message.retry_after_s for answer in answers for message in answer if isinstance(message, RateLimited)}


def test_the_fallback_book_is_best_first() -> None:
    """By the market-data name; the venue does not state an order (apex.md §1.3)."""
    lane, rest = lane_of(ok({"a": [["12", "1"], ["11", "1"]], "b": [["8", "1"], ["9", "2"]], "s": "BTCUSDT", "u": 5}))
    book = lane.fetch_book(SYMBOL)
    assert book is not None
    best = Level(Decimal(9), Decimal(2)), Level(Decimal(11), Decimal(1))
    assert (best, SYMBOL, ["BTCUSDT"]) == ((book.bids[0], book.asks[0]), book.symbol, parse_qs(rest.sent[0].query)["symbol"])


@pytest.mark.parametrize("outcome", [*BROKEN, BAN_PAGE, ok({"a": [["9", "1"]], "b": [["9", "1"]], "s": "BTCUSDT", "u": 1})])
def test_a_failed_book_read_is_none(outcome: Outcome) -> None:
    """A crossed book is a failed read."""
    assert lane_of(outcome)[0].fetch_book(SYMBOL) is None


@pytest.mark.parametrize(
    ("outcome", "expected"), [(ok({"worstPrice": "123.00"}), Decimal(123)), (ok({"worstPrice": "0"}), None), (denied(3), None)]
)
def test_the_worst_price_is_the_venues_reckoning(outcome: Outcome, expected: Decimal | None) -> None:
    """Or none."""
    assert expected == lane_of(outcome)[0].worst_price(Side.SELL, Decimal("0.01"))
