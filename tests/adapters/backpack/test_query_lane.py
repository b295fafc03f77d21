"""Claims on the query lane: what each read says, and when it says nothing."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qs

import pytest

from adapters.backpack import requests
from adapters.backpack.client import SUBMIT_MARGIN_MS, UNKNOWN_LOOKBACK_MS, BackpackQueryLane, BackpackTradeLane, SubmitTimes
from adapters.transport.rest import NotSent, Ok, Outcome, Unknown
from core.messages import (
    FetchFills,
    FetchOpenOrders,
    FetchPosition,
    FillReported,
    FillsFetched,
    OpenOrdersFetched,
    OrderNotFound,
    OrderReported,
    PositionReported,
    QueryFailed,
    RateLimited,
)
from core.types import ClientOrderId, Level, OrderState
from tests.adapters.backpack.support import (
    NOT_FOUND,
    SYMBOL,
    VENUE,
    WALL_S,
    FakeRest,
    Time,
    fill_row,
    hedge_order,
    make_api,
    ok,
    order_body,
    query,
    refused,
)

WALL_MS = int(WALL_S * 1_000)
LIMITED = refused(429, {"code": "TOO_MANY_REQUESTS", "message": "slow"}, retry_after_s=2.0)
BROKEN: list[Outcome] = [
    Unknown("status 500", 500, b""),
    Unknown("ReadTimeout"),
    NotSent("refused"),
    Ok(200, {}, b"<html>"),
    Ok(200, {}, b"null"),
    refused(404, "<html>no such page</html>"),
    refused(400, {"code": "RESOURCE_NOT_FOUND", "message": "no"}),
    refused(403, {"code": "FORBIDDEN", "message": "no"}),
]


def lane_of(
    *outcomes: Outcome, submits: SubmitTimes | None = None, time: Time | None = None
) -> tuple[BackpackQueryLane, FakeRest]:
    rest = FakeRest(*outcomes)
    return BackpackQueryLane(make_api(rest, time), submits or SubmitTimes()), rest


def sent_query(rest: FakeRest, index: int) -> dict[str, list[str]]:
    return parse_qs(rest.sent[index].query)


def test_a_resting_order_is_reported() -> None:
    """One read is enough."""
    [report] = lane_of(ok(order_body(status="New", executedQuantity="0")))[0].query_order(query())
    assert isinstance(report, OrderReported)
    assert (report.client_order_id, report.state) == (7, OrderState.ACCEPTED)


def test_a_missing_order_without_fills_is_not_found() -> None:
    """asked_at is the moment before the first read."""
    [absent] = lane_of(NOT_FOUND, ok([fill_row(1, clientId=8)]), time=Time(55.0))[0].query_order(query())
    assert isinstance(absent, OrderNotFound)
    assert (absent.client_order_id, absent.asked_at) == (7, 55.0)


def test_a_missing_orders_fills_come_before_not_found() -> None:
    """Only those of this client id, oldest first."""
    rows = [fill_row(3, timestamp="2026-10-08T22:53:21"), fill_row(2, clientId=8), fill_row(1)]
    messages = lane_of(NOT_FOUND, ok(rows))[0].query_order(query())
    assert [message.trade_id if isinstance(message, FillReported) else None for message in messages] == ["1", "3", None]
    assert isinstance(messages[-1], OrderNotFound)


@pytest.mark.parametrize("outcome", BROKEN)
def test_a_failed_lookup_proves_nothing(outcome: Outcome) -> None:
    """No OrderNotFound, and the fills are not even read."""
    messages = lane_of(outcome)[0].query_order(query())
    assert [(QueryFailed, "QueryOrder", 7)] == [
        (type(m), m.query, m.client_order_id) for m in messages if isinstance(m, QueryFailed)
    ]
    assert len(messages) == 1


@pytest.mark.parametrize("outcome", [*BROKEN, ok([fill_row(1), fill_row(2, price="NaN")]), NOT_FOUND])
def test_a_failed_fill_scan_proves_nothing(outcome: Outcome) -> None:
    """The 404 of the order alone is no absence."""
    assert [QueryFailed] == [type(message) for message in lane_of(NOT_FOUND, outcome)[0].query_order(query())]


@pytest.mark.parametrize("changes", [{"clientId": 8}, {"symbol": "SOL_USDC_PERP"}, {"id": "1"}])
def test_a_lookup_that_answers_another_order_fails(changes: dict[str, object]) -> None:
    """Another order's state must not be booked on ours."""
    messages = lane_of(ok(order_body(**changes)))[0].query_order(query("28563660001"))
    assert [QueryFailed] == [type(message) for message in messages]


def test_the_scan_begins_before_the_submit() -> None:
    """However long ago that was: a scan that starts late would prove a fill away."""
    submits = SubmitTimes()
    submits.note(ClientOrderId(7), WALL_MS - 900_000)
    lane, rest = lane_of(NOT_FOUND, ok([]), submits=submits)
    lane.query_order(query())
    assert sent_query(rest, 1)["from"] == [str(WALL_MS - 900_000 - SUBMIT_MARGIN_MS)]


def test_a_placed_order_is_remembered_for_the_scan() -> None:
    """The trade lane tells the query lane when it sent, also when the answer was lost."""
    submits = SubmitTimes()
    BackpackTradeLane(make_api(FakeRest(Unknown("ReadTimeout"))), submits).place(hedge_order())
    assert submits.scan_from_ms(ClientOrderId(7), WALL_MS + 900_000) == WALL_MS - SUBMIT_MARGIN_MS


def test_the_scan_of_another_process_order_goes_back_a_day() -> None:
    """Its submit time is not known after a restart."""
    lane, rest = lane_of(NOT_FOUND, ok([]))
    lane.query_order(query())
    assert sent_query(rest, 1)["from"] == [str(WALL_MS - UNKNOWN_LOOKBACK_MS)]


def test_a_known_venue_id_asks_for_that_order_alone() -> None:
    """Both reads name it, and rows of other orders are dropped."""
    lane, rest = lane_of(NOT_FOUND, ok([fill_row(1), fill_row(2, orderId="99")]))
    messages = lane.query_order(query("28563660001"))
    assert [sent_query(rest, index)["orderId"] for index in (0, 1)] == [["28563660001"]] * 2
    assert [message.trade_id for message in messages if isinstance(message, FillReported)] == ["1"]


def test_fills_are_paged_until_a_short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the next page repeats is one fill."""
    monkeypatch.setattr(requests, "FILLS_PAGE", 2)
    pages = [[fill_row(4), fill_row(3)], [fill_row(3), fill_row(2)], [fill_row(1)]]
    lane, rest = lane_of(*(ok(page) for page in pages))
    [answer] = lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert isinstance(answer, FillsFetched)
    assert sorted(fill.trade_id for fill in answer.fills) == ["1", "2", "3", "4"]
    assert [sent_query(rest, index)["offset"] for index in range(3)] == [["0"], ["2"], ["4"]]


def test_a_history_without_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part of a history must not pass for all of it."""
    monkeypatch.setattr(requests, "FILLS_PAGE", 1)
    lane, _ = lane_of(*(ok([fill_row(index)]) for index in range(20)))
    assert [QueryFailed] == [type(m) for m in lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))]


def test_pages_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane answers within its total deadline, however many requests it needs."""
    monkeypatch.setattr(requests, "FILLS_PAGE", 1)
    time = Time(0.0)
    lane, rest = lane_of(*(ok([fill_row(index)]) for index in range(20)), time=time)
    ask = rest.request

    def slow(*args: object, **kwargs: object) -> Outcome:
        time.now += 2.0
        return ask(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(rest, "request", slow)
    messages = lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert ([QueryFailed], 3) == ([type(message) for message in messages], len(rest.sent))


def test_fetched_fills_are_those_since_the_lookback() -> None:
    """Older rows and other symbols are not part of the answer; what is older goes by the venue's clock."""
    rows = [fill_row(1, timestamp=WALL_MS), fill_row(2, timestamp=WALL_MS - 60_001), fill_row(3, symbol="SOL_USDC_PERP")]
    [answer] = lane_of(ok(rows))[0].fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=60.0))
    assert isinstance(answer, FillsFetched)
    assert ([fill.trade_id for fill in answer.fills], answer.lookback_s) == (["1"], 60.0)


def test_open_orders_are_those_of_the_symbol() -> None:
    """An empty list is an answer."""
    lane, _ = lane_of(ok([order_body(status="New", executedQuantity="0"), order_body(symbol="SOL_USDC_PERP")]), ok([]))
    command = FetchOpenOrders(venue=VENUE, symbol=SYMBOL)
    answers = [lane.fetch_open_orders(command)[0] for _ in range(2)]
    assert [len(answer.orders) for answer in answers if isinstance(answer, OpenOrdersFetched)] == [1, 0]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (ok([{"symbol": SYMBOL, "netQuantity": "-0.01"}]), Decimal("-0.01")),
        (ok([{"symbol": "SOL_USDC_PERP", "netQuantity": "3"}]), Decimal(0)),
        (ok([]), Decimal(0)),
        (NOT_FOUND, Decimal(0)),
    ],
)
def test_a_position_is_the_venues_word(outcome: Outcome, expected: Decimal) -> None:
    """Not listed, and the venue's own 404, are flat."""
    [report] = lane_of(outcome)[0].fetch_position(FetchPosition(venue=VENUE, symbol=SYMBOL))
    assert isinstance(report, PositionReported)
    assert expected == report.quantity


@pytest.mark.parametrize("outcome", [*BROKEN, Ok(200, {}, b"{}"), ok([{"symbol": SYMBOL, "netQuantity": "NaN"}])])
def test_a_failed_position_read_is_not_flat(outcome: Outcome) -> None:
    """QueryFailed and nothing else."""
    assert [QueryFailed] == [type(m) for m in lane_of(outcome)[0].fetch_position(FetchPosition(venue=VENUE, symbol=SYMBOL))]


def test_a_429_is_a_failure_and_a_rate_limit() -> None:
    """For every read alike."""
    lane, _ = lane_of(LIMITED, LIMITED, LIMITED, LIMITED)
    answers = [
        lane.query_order(query()),
        lane.fetch_open_orders(FetchOpenOrders(venue=VENUE, symbol=SYMBOL)),
        lane.fetch_fills(FetchFills(venue=VENUE, symbol=SYMBOL, lookback_s=1.0)),
        lane.fetch_position(FetchPosition(venue=VENUE, symbol=SYMBOL)),
    ]
    assert [[QueryFailed, RateLimited]] * 4 == [[type(message) for message in answer] for answer in answers]


def test_the_fallback_book_is_best_first() -> None:
    """Twenty levels by REST."""
    body = {"asks": [["11", "1"]], "bids": [["8", "1"], ["9", "2"]], "lastUpdateId": "5", "timestamp": 7_000}
    lane, rest = lane_of(ok(body))
    book = lane.fetch_book(SYMBOL)
    assert book is not None
    assert (Level(Decimal(9), Decimal(2)), ["20"]) == (book.bids[0], sent_query(rest, 0)["limit"])


@pytest.mark.parametrize("outcome", [*BROKEN, LIMITED, ok({"asks": [["9", "1"]], "bids": [["9", "1"]], "lastUpdateId": 1})])
def test_a_failed_book_read_is_none(outcome: Outcome) -> None:
    """A crossed book is a failed read."""
    assert lane_of(outcome)[0].fetch_book(SYMBOL) is None
