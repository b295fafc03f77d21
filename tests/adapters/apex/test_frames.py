"""Claims on stream frames: what each becomes, what is refused, and that no secret is repeated."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.apex import frames, parse
from adapters.apex.frames import AccountFrame, Ack, BookFrame, Complaint, Ping, Pong, Wallet
from adapters.apex.parse import FailedFill
from adapters.apex.values import WireRefused, excerpt, scrub, time_ms
from core.messages import FillReported, OrderReported
from core.types import Liquidity, OrderState, Side
from tests.adapters.apex.support import (
    KEY,
    KEY_TEXT,
    MARKET,
    PASSPHRASE,
    SYMBOL,
    WALL_MS,
    account_frame,
    book_frame,
    encoded,
    fill_row,
    order_row,
    position_row,
)


def account(kind: str | None = "delta", **contents: object) -> AccountFrame:
    found = frames.parse_account_frame(account_frame(kind, **contents), SYMBOL, 1.0)
    assert isinstance(found, AccountFrame)
    return found


def reported(**changes: object) -> OrderReported:
    [order] = account(orders=[order_row(**changes)]).orders
    return order.report


def filled(**changes: object) -> FillReported | FailedFill | None:
    facts = account(fills=[fill_row(**changes)]).fills
    return facts[0] if facts else None


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"op": "ping", "args": ["1661415022821"]}, Ping("1661415022821")),
        ({"op": "ping", "args": [1661415022821]}, Ping("1661415022821")),
        ({"op": "ping"}, Ping("")),
        ({"op": "pong", "args": ["1"]}, Pong()),
        ({"op": "pong", "ts": 1699999999999}, Pong()),
        ({"success": True, "ret_msg": "pong", "conn_id": "x", "request": {"op": "ping", "args": ["1"]}}, Pong()),
        ({"success": True, "ret_msg": "", "request": {"op": "subscribe", "args": ["a"]}}, Ack("subscribe")),
        ({"success": "true", "ret_msg": "", "request": {"op": "login", "args": ["{}"]}}, Ack("login")),
        ({"success": "false", "ret_msg": "x", "request": {"op": "login", "args": ["{}"]}}, Complaint("login", "x")),
        ({"success": False, "ret_msg": "error:invalid op", "request": {"op": "", "args": None}}, Complaint("", "error:invalid op")),
    ],
)  # fmt: skip
def test_control_frames_are_told_apart_on_both_sockets(frame: object, expected: object) -> None:
    """Pings, three forms of pong, answers whose success is a boolean or its text."""
    data = encoded(frame)
    assert [expected] * 2 == [frames.parse_market_frame(data, MARKET), frames.parse_account_frame(data, SYMBOL, 0.0)]


def test_a_book_frame_keeps_its_number_and_time() -> None:
    """``ts`` counts microseconds."""
    found = frames.parse_market_frame(book_frame(9, [["1.5", "0"]], [["2", "3"]]), MARKET)
    level = ((Decimal("1.5"), Decimal(0)),), ((Decimal(2), Decimal(3)),)
    assert BookFrame(False, 9, *level, WALL_MS) == found


@pytest.mark.parametrize(
    "changes",
    [
        {"s": "ETHUSDT"}, {"u": -1}, {"u": "x"}, {"b": [["NaN", "1"]]}, {"a": [["1", "-1"]]}, {"a": [["0", "1"]]},
        {"a": [["1e999", "1"]]}, {"a": [["1" * 17, "1"]]}, {"a": None},
    ],
)  # fmt: skip
def test_a_book_frame_of_nonsense_is_refused(changes: dict[str, object]) -> None:
    """Another symbol, no number, negative or endless quantities."""
    with pytest.raises(WireRefused):
        frames.parse_market_frame(book_frame(9, **changes), MARKET)  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["recentlyTrade.H.ETHUSDT", "candle.1.ETHUSDT", f"somethingNew.H.{MARKET}"])
def test_a_topic_that_is_not_ours_is_refused(topic: str) -> None:
    """Rows of trades and bars do not name their symbol reliably; the topic does."""
    with pytest.raises(WireRefused):
        frames.parse_market_frame(encoded({"topic": topic, "type": "snapshot", "data": [], "ts": WALL_MS}), MARKET)


@pytest.mark.parametrize(
    ("word", "filled_size", "reason", "tif", "expected"),
    [
        ("PENDING", "0", "", "GOOD_TIL_CANCEL", (OrderState.SUBMITTED, "")),
        ("OPEN", "0", "", "GOOD_TIL_CANCEL", (OrderState.ACCEPTED, "")),
        ("OPEN", "0.001", "", "GOOD_TIL_CANCEL", (OrderState.PARTIALLY_FILLED, "")),
        ("FILLED", "0.002", "", "GOOD_TIL_CANCEL", (OrderState.FILLED, "")),
        ("FILLED", "0.001", "", "GOOD_TIL_CANCEL", (OrderState.UNKNOWN, "FILLED with 0.001 of 0.002")),
        ("UNTRIGGERED", "0", "", "IMMEDIATE_OR_CANCEL", (OrderState.ACCEPTED, "untriggered")),
        ("CANCELED", "0", "UNKNOWN_ORDER_CANCEL_REASON", "GOOD_TIL_CANCEL", (OrderState.CANCELED, "")),
        ("CANCELED", "0", "USER_CANCELED", "GOOD_TIL_CANCEL", (OrderState.CANCELED, "USER_CANCELED")),
        ("CANCELED", "0", "COULD_NOT_FILL", "POST_ONLY", (OrderState.REJECTED, "COULD_NOT_FILL")),
        ("CANCELED", "0", "COULD_NOT_FILL", "IMMEDIATE_OR_CANCEL", (OrderState.CANCELED, "COULD_NOT_FILL")),
        ("CANCELED", "0.001", "INTERNAL_FAILED", "GOOD_TIL_CANCEL", (OrderState.CANCELED, "INTERNAL_FAILED")),
        ("CANCELED", "0", "INTERNAL_FAILED", "GOOD_TIL_CANCEL", (OrderState.REJECTED, "INTERNAL_FAILED")),
        ("CANCELED", "0", "REDUCE_ONLY_CANCELED", "GOOD_TIL_CANCEL", (OrderState.REJECTED, "REDUCE_ONLY_CANCELED")),
        ("CANCELING", "0", "", "GOOD_TIL_CANCEL", (OrderState.PENDING_CANCEL, "")),
        ("EXPIRED", "0.001", "EXPIRED", "GOOD_TIL_CANCEL", (OrderState.EXPIRED, "EXPIRED")),
        ("TRIGGERED", "0", "", "GOOD_TIL_CANCEL", (OrderState.UNKNOWN, "TRIGGERED")),
        ("PARTIALLY_FILLED", "0.001", "", "GOOD_TIL_CANCEL", (OrderState.UNKNOWN, "PARTIALLY_FILLED")),
    ],
)  # fmt: skip
def test_the_venues_words_are_ours(word: str, filled_size: str, reason: str, tif: str, expected: tuple[OrderState, str]) -> None:
    """Six words and a reason; a partial fill shows in the quantity, a refusal in the reason (apex.md §3)."""
    report = reported(status=word, cumSuccessFillSize=filled_size, cancelReason=reason, timeInForce=tif)
    assert expected == (report.state, report.reason)


def test_matched_but_uncensored_quantity_is_not_filled() -> None:
    """Only cumSuccess* counts (apex.md §3)."""
    assert Decimal("0.001") == reported(cumMatchFillSize="0.002", cumSuccessFillSize="0.001", remainingSize="0").filled_quantity


@pytest.mark.parametrize(
    ("names", "expected"),
    [({"clientId": "pf-8"}, 8), ({"clientId": "", "clientOrderId": "pf-8"}, 8), ({"clientId": "web-1"}, None)],
)
def test_a_client_id_is_read_under_both_names(names: dict[str, object], expected: int | None) -> None:
    """Another form is somebody else's order."""
    assert expected == reported(**names).client_order_id


@pytest.mark.parametrize("expires", [1_765_100_216, 1_765_100_216_000, "", None, 0])
def test_an_expiry_in_any_unit_costs_nothing(expires: object) -> None:
    """The venue answers in the unit that it was asked in (apex.md §1.5)."""
    assert OrderState.ACCEPTED is reported(expiresAt=expires).state


@pytest.mark.parametrize("value", [1_765_100_216, 1_765_100_216_000, "1765100216000", 1_765_100_216_000_000])
def test_a_time_in_any_unit_is_the_same_time(value: int | str) -> None:
    """Seconds, milliseconds, microseconds."""
    assert 1_765_100_216_000 == time_ms(value, "t")


@pytest.mark.parametrize(
    "changes",
    [
        {"cumSuccessFillSize": "NaN"}, {"cumSuccessFillSize": "-1"}, {"cumSuccessFillSize": None}, {"size": "Infinity"}, {"side": "Buy"},
        {"id": None}, {"id": "a b"}, {"status": 3}, {"size": "1" * 41}, {"updatedAt": "yesterday"}, {"price": "0x10"},
    ],
)  # fmt: skip
def test_an_order_of_nonsense_is_refused(changes: dict[str, object]) -> None:
    """Nothing is guessed about money."""
    with pytest.raises(WireRefused):
        reported(**changes)


def test_a_fill_is_read() -> None:
    """Fee positive = paid, in the quote asset; the row's own id tells doubles apart on the stream and in REST."""
    fill = filled()
    assert isinstance(fill, FillReported)
    expected = (
        "800000000000000009",
        7,
        Side.SELL,
        Decimal("59001.0"),
        Decimal("0.001"),
        Decimal("0.0295005"),
        "USDT",
        Liquidity.TAKER,
    )
    actual = (
        fill.trade_id,
        fill.client_order_id,
        fill.side,
        fill.price,
        fill.quantity,
        fill.fee,
        fill.fee_currency,
        fill.liquidity,
    )
    assert expected == actual


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("SUCCESS", FillReported), ("SUCCESS_L2_APPROVED", FillReported), ("", FillReported), ("PENDING_CENSORING", type(None)),
        ("FAILED_CENSOR_FAILURE", FailedFill), ("FAILED_L2_REJECTED", FailedFill), ("DREAMING", type(None)),
    ],
)  # fmt: skip
def test_only_a_censored_fill_is_a_fill(status: str, expected: type) -> None:
    """Pending ones are no news yet, failed ones an alarm."""
    assert expected is type(filled(status=status))


def test_a_fill_may_say_liquidity_instead_of_direction() -> None:
    """As the documentation does."""
    fill = filled(direction="", liquidity="MAKER")
    assert isinstance(fill, FillReported)
    assert fill.liquidity is Liquidity.MAKER


@pytest.mark.parametrize(
    "changes",
    [{"price": "0"}, {"size": "NaN"}, {"fee": ""}, {"fee": None}, {"id": ""}, {"id": None}, {"orderId": ""}, {"createdAt": 0}, {"side": ""}],
)  # fmt: skip
def test_a_fill_of_nonsense_is_refused(changes: dict[str, object]) -> None:
    """A fill without a price, a fee or an id is never completed by guess."""
    with pytest.raises(WireRefused):
        filled(**changes)


def test_rows_of_other_symbols_are_left_out_unread() -> None:
    """An oddity there must not cost us our own news."""
    odd = {"symbol": "SOL-USDT", "status": 7}
    found = account(orders=[odd, order_row()], fills=[odd, fill_row()], positions=[odd])
    assert (1, 1, {}) == (len(found.orders), len(found.fills), found.positions)


def test_position_sides_are_kept_apart() -> None:
    """Unsigned sizes; both rows of a symbol may be listed."""
    found = account(positions=[position_row("LONG", "0.5"), position_row("SHORT", "0"), position_row("LONG", "9", "ETH-USDT")])
    assert {Side.BUY: Decimal("0.5"), Side.SELL: Decimal(0)} == found.positions


def test_wallets_are_read_and_an_odd_one_is_left_out() -> None:
    """Nothing is decided on them."""
    found = account(contractWallets=[{"token": "USDT", "balance": "10.5"}, {"token": "X", "balance": "NaN"}])
    assert (Wallet("USDT", Decimal("10.5")),) == found.wallets


@pytest.mark.parametrize("contents", [{}, {"orders": None, "fills": None, "positions": None}, {"orders": [], "transfers": [{}]}])
def test_absent_and_null_lists_are_no_news(contents: dict[str, object]) -> None:
    """apex.md §3."""
    assert AccountFrame(False, (), (), {}, ()) == account(**contents)


def test_a_frame_without_a_type_is_a_snapshot() -> None:
    """apex.md §3."""
    assert account(kind=None).is_snapshot


@pytest.mark.parametrize(
    "frame",
    [
        {"topic": "ws_zk_accounts_v3", "type": "delta", "data": {"orders": []}},
        {"topic": "ws_zk_accounts_v3", "type": "delta", "contents": []},
        {"topic": "ws_zk_accounts_v3", "type": "news", "contents": {}},
        {"topic": "ws_notify_v1", "contents": {}},
        {"hello": 1},
        [1],
    ],
)
def test_a_private_frame_of_another_shape_is_refused(frame: object) -> None:
    """The payload is under contents, never under data (apex.md §0.3)."""
    with pytest.raises(WireRefused):
        frames.parse_account_frame(encoded(frame), SYMBOL, 0.0)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """WireRefused is the one typed rule, on both sockets."""
    for parser in (lambda: frames.parse_market_frame(data, MARKET), lambda: frames.parse_account_frame(data, SYMBOL, 0.0)):
        with pytest.raises(WireRefused):
            parser()


def test_deep_nesting_is_refused() -> None:
    """Not a crash."""
    with pytest.raises(WireRefused):
        frames.parse_account_frame(b"[" * 100_000, SYMBOL, 0.0)


def test_an_echoed_login_is_never_repeated() -> None:
    """Whole or cut anywhere: no key, passphrase or signature is left in the excerpt."""
    login = KEY.login(WALL_MS)
    secrets = [KEY_TEXT, PASSPHRASE, KEY_TEXT[:12], PASSPHRASE[:6]]
    shown = [excerpt(login[:end].encode()) for end in range(0, len(login), 3)]
    assert [] == [text for text in shown if any(secret in text for secret in secrets)]


def test_long_tokens_are_cut_out_and_the_venues_words_stay() -> None:
    """Its error keys are long, too."""
    word = "ORDER_POSSIBLE_LEAD_TO_ACCOUNT_LIQUIDATED"
    assert f"{word} [redacted] [redacted] x" == scrub(f"{word} {KEY_TEXT} 0x{'ab' * 64} x")


def test_positions_net_long_minus_short() -> None:
    """Either side may be missing."""
    assert Decimal("-0.5") == parse.net_of({Side.BUY: Decimal(1), Side.SELL: Decimal("1.5")})
