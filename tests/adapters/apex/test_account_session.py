"""Claims on the account session: login, proof by data, history told from news, positions of two sides, pings, damage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from adapters.apex import stream
from adapters.apex.signer import ACCOUNT_TOPIC
from adapters.apex.stream import ApexAccountSession
from adapters.transport.stream import SessionFailed
from core.messages import Alert, FillReported, FrameRejected, Message, OrderReported, PositionReported
from tests.adapters.apex.support import (
    KEY,
    KEY_TEXT,
    PASSPHRASE,
    SYMBOL,
    WALL_MS,
    account_frame,
    encoded,
    fill_row,
    make_clock,
    order_row,
    position_row,
)

SNAPSHOT = account_frame("snapshot", orders=[order_row()], positions=[position_row("LONG", "0"), position_row("SHORT", "0.002")])
ENDED = {"status": "FILLED", "cumSuccessFillSize": "0.002"}


def opened(now: float = 10.0) -> ApexAccountSession:
    session = ApexAccountSession("ws://x", SYMBOL, KEY, make_clock())
    session.opened(now)
    return session


def live() -> ApexAccountSession:
    session = opened()
    session.outbox()
    session.received(SNAPSHOT, 10.1)
    return session


def sent(session: ApexAccountSession) -> list[dict[str, Any]]:
    return [json.loads(text) for text in session.outbox()]


def answer(op: str, success: object, ret_msg: str = "") -> bytes:
    return encoded({"success": success, "ret_msg": ret_msg, "conn_id": "x", "request": {"op": op, "args": ["x"]}})


def positions_of(messages: Sequence[Message]) -> list[Decimal]:
    return [message.quantity for message in messages if isinstance(message, PositionReported)]


def historical(messages: Sequence[Message]) -> list[bool]:
    return [message.is_historical for message in messages if isinstance(message, OrderReported)]


def test_opening_logs_in_and_nothing_else() -> None:
    """The login's topic subscribes by itself; a second subscription would double the snapshot (apex.md §3)."""
    session = opened()
    [login] = sent(session)
    request = json.loads(login["args"][0])
    expected = ("login", [ACCOUNT_TOPIC], KEY_TEXT, PASSPHRASE, WALL_MS, KEY.sign(f"{WALL_MS}GET/ws/accounts"))
    assert expected == (
        login["op"], request["topics"], request["apiKey"], request["passphrase"], request["timestamp"], request["signature"],
    )  # fmt: skip


@pytest.mark.parametrize("success", [True, "true"])
def test_an_acknowledged_login_proves_nothing_yet(success: object) -> None:
    """No source has captured that frame; the first data is the proof (apex.md §3)."""
    session = opened()
    session.received(answer("login", success), 10.1)
    assert not session.is_synced


def test_the_first_data_proves_the_login() -> None:
    """Orders and the position of the snapshot are told."""
    session = opened()
    messages = session.received(SNAPSHOT, 10.1)
    assert ([OrderReported, PositionReported], True) == ([type(message) for message in messages], session.is_synced)


@pytest.mark.parametrize("success", [False, "false"])
@pytest.mark.parametrize("message", ["msg param error", "login authority err"])
def test_a_refused_login_ends_the_session_as_such(success: object, message: str) -> None:
    """The documented refusals do not say what they refuse."""
    with pytest.raises(SessionFailed, match=message) as caught:
        opened().received(encoded({"success": success, "ret_msg": message, "conn_id": "x"}), 10.1)
    assert caught.value.is_auth


def test_a_login_without_data_asks_once_and_then_ends() -> None:
    """Some clients subscribe after the login."""
    session = opened()
    session.outbox()
    for now in (10.0 + stream.SUBSCRIBE_AFTER_S, 13.1, 13.2, 20.0):
        session.tick(now)
    assert [{"op": "subscribe", "args": [ACCOUNT_TOPIC]}] == sent(session)
    with pytest.raises(SessionFailed, match="no account data") as caught:
        session.tick(10.1 + stream.LOGIN_WITHIN_S)
    assert caught.value.is_auth


def test_a_topic_that_the_login_subscribed_already_lives_on() -> None:
    """The duplicate is refused, the subscription stays (apex.md §2)."""
    assert () == live().received(answer("subscribe", False, f"error:topic:already subscribed {ACCOUNT_TOPIC}"), 11.0)


def test_another_refusal_ends_the_session() -> None:
    """It is not the login's fault."""
    with pytest.raises(SessionFailed, match="handler not found") as caught:
        live().received(answer("subscribe", False, "error:handler not found"), 11.0)
    assert not caught.value.is_auth


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("snapshot", {**ENDED}, True),
        (None, {**ENDED}, True),
        ("delta", {**ENDED, "updatedAt": WALL_MS - 1}, True),
        ("delta", {**ENDED, "updatedAt": WALL_MS}, False),
        ("delta", {**ENDED, "updatedAt": WALL_MS + 5}, False),
        ("delta", {"status": "CANCELED", "updatedAt": WALL_MS - 86_400_000}, True),
        ("snapshot", {"status": "OPEN"}, False),
        ("snapshot", {"status": "UNTRIGGERED"}, False),
        ("delta", {"status": "OPEN", "updatedAt": WALL_MS - 1}, False),
    ],
)
def test_ended_orders_of_the_past_are_history(kind: str | None, changes: dict[str, object], expected: bool) -> None:
    """The second frame after the login brings some thirty of them (apex.md §0.2); an open order is never history."""
    assert [expected] == historical(live().received(account_frame(kind, orders=[order_row(**changes)]), 10.4))


def test_the_second_frame_is_history_and_the_next_delta_is_news() -> None:
    """In the order in which they come on the wire."""
    session = live()
    past = [order_row(id=str(900 + index), clientId=f"pf-{index}", updatedAt=WALL_MS - 9, **ENDED) for index in range(30)]
    second = session.received(account_frame("snapshot", orders=past), 10.4)
    third = session.received(account_frame("delta", orders=[order_row(updatedAt=WALL_MS + 900, **ENDED)]), 11.0)
    assert ([True] * 30, [False]) == (historical(second), historical(third))


def test_fills_are_told_before_orders_and_positions() -> None:
    """An execution push carries all three."""
    frame = account_frame(orders=[order_row(**ENDED)], fills=[fill_row()], positions=[position_row("SHORT", "0.004")])
    assert [FillReported, OrderReported, PositionReported] == [type(message) for message in live().received(frame, 11.0)]


def test_a_position_is_long_minus_short() -> None:
    """A delta of one side keeps the other as it was."""
    session = opened()
    told = [
        positions_of(session.received(account_frame("snapshot", positions=rows), 10.1))
        for rows in (
            [position_row("LONG", "0.010"), position_row("SHORT", "0.003")],
            [position_row("SHORT", "0.004")],
            [position_row("LONG", "0"), position_row("SHORT", "0")],
        )
    ]
    assert [[Decimal("0.007")], [Decimal("0.006")], [Decimal(0)]] == told


def test_a_frame_without_our_position_tells_none() -> None:
    """Absence is no news, and never flat."""
    assert [] == positions_of(live().received(account_frame(positions=[position_row("LONG", "1", "ETH-USDT")]), 11.0))


def test_sides_of_an_old_connection_are_forgotten() -> None:
    """What was closed meanwhile must not be netted."""
    session = opened()
    session.received(account_frame("snapshot", positions=[position_row("LONG", "1")]), 10.1)
    session.opened(20.0)
    assert [Decimal("-2")] == positions_of(session.received(account_frame(positions=[position_row("SHORT", "2")]), 20.1))


def test_an_undone_fill_is_an_alarm() -> None:
    """It may have been hedged already."""
    [alarm] = live().received(account_frame(fills=[fill_row(status="FAILED_L2_REJECTED")]), 11.0)
    assert isinstance(alarm, Alert)
    assert ("critical", True) == (alarm.level, "FAILED_L2_REJECTED" in alarm.text)


def test_an_undone_fill_of_the_past_is_not() -> None:
    """It was one when it happened."""
    row = fill_row(status="FAILED_L2_REJECTED", createdAt=WALL_MS - 1)
    assert [] == live().received(account_frame("snapshot", fills=[row]), 10.4)


def test_a_pending_fill_is_no_news() -> None:
    """Until it is censored."""
    assert [] == live().received(account_frame(fills=[fill_row(status="PENDING_CENSORING")]), 11.0)


def test_a_damaged_frame_ends_the_conversation_after_it_was_told() -> None:
    """It may have been the only word of a fill: the reconnection makes everybody look."""
    session = live()
    [rejected] = session.received(account_frame(fills=[fill_row(price="NaN")]), 11.0)
    assert isinstance(rejected, FrameRejected)
    with pytest.raises(SessionFailed, match="unreadable frame"):
        session.tick(11.1)


def test_a_new_conversation_starts_from_nothing() -> None:
    """Neither damage nor sync outlive the connection, and the login is signed anew."""
    session = live()
    session.received(b"{", 11.0)
    session.lost("closed", 12.0)
    session.opened(13.0)
    session.tick(13.1)
    assert (False, ["login"]) == (session.is_synced, [frame["op"] for frame in sent(session)])


def test_pings_go_both_ways() -> None:
    """Theirs is answered with its stamp, ours goes out every fifteen seconds."""
    session = live()
    session.received(encoded({"op": "ping", "args": ["123"]}), 12.0)
    session.tick(10.0 + stream.PING_PERIOD_S)
    assert [{"op": "pong", "args": ["123"]}, {"op": "ping", "args": [str(WALL_MS)]}] == sent(session)


def test_no_text_of_the_session_holds_a_secret() -> None:
    """Not even where the venue sends our own login back."""
    session = opened()
    [login] = session.outbox()
    echo = encoded({"success": "perhaps", "ret_msg": login, "request": {"op": "login", "args": [login]}})
    with pytest.raises(SessionFailed) as caught:
        session.received(echo, 10.1)
    [rejected] = opened().received(login.encode()[:-3], 10.2)
    assert isinstance(rejected, FrameRejected)
    texts = [caught.value.reason, rejected.head, rejected.reason, repr(session.endpoint())]
    signature = KEY.sign(f"{WALL_MS}GET/ws/accounts")
    assert [] == [text for text in texts for secret in (KEY_TEXT, PASSPHRASE, signature) if secret in text]
