"""Claims on the account session: signed subscription, readiness without an acknowledgement, errors."""

from __future__ import annotations

import json

import pytest

from adapters.backpack.clock import VenueClock
from adapters.backpack.stream import QUIET_IS_SYNCED_S, BackpackAccountSession
from adapters.transport.stream import SessionFailed
from core.messages import FillReported, FrameRejected, OrderReported
from tests.adapters.backpack.support import PUBLIC_KEY, SIGNER, SYMBOL, WALL_S, encoded, order_update


def session() -> BackpackAccountSession:
    opened = BackpackAccountSession("ws://x", SYMBOL, SIGNER, VenueClock(wall_s=lambda: WALL_S))
    opened.opened(10.0)
    return opened


def test_the_subscription_is_signed_with_the_venues_time() -> None:
    """Orders and position of the symbol, one signature, four strings."""
    [frame] = session().outbox()
    message = json.loads(frame)
    timestamp = str(int(WALL_S * 1_000))
    signature = SIGNER.sign(f"instruction=subscribe&timestamp={timestamp}&window=5000")
    expected = ([f"account.orderUpdate.{SYMBOL}", f"account.positionUpdate.{SYMBOL}"], [PUBLIC_KEY, signature, timestamp, "5000"])
    assert expected == (message["params"], message["signature"])


def test_a_second_without_an_error_counts_as_subscribed() -> None:
    """A flat, idle account sends nothing at all (backpack.md §3)."""
    quiet = session()
    quiet.outbox()
    states = []
    for now in (10.0, 10.0 + QUIET_IS_SYNCED_S / 2, 10.0 + QUIET_IS_SYNCED_S):
        quiet.tick(now)
        states.append(quiet.is_synced)
    assert [False, False, True] == states


def test_an_unsent_subscription_is_never_synced() -> None:
    """Time alone proves nothing."""
    waiting = session()
    waiting.tick(20.0)
    assert not waiting.is_synced


def test_a_first_frame_proves_the_subscription() -> None:
    """Without waiting for the second."""
    live = session()
    messages = live.received(order_update(), 10.1)
    assert ([FillReported, OrderReported], True) == ([type(message) for message in messages], live.is_synced)


def test_a_rejected_frame_proves_nothing() -> None:
    """It is reported and changes nothing."""
    live = session()
    [rejected] = live.received(b'{"stream":', 10.1)
    assert isinstance(rejected, FrameRejected)
    assert (False, '{"stream":') == (live.is_synced, rejected.head)


@pytest.mark.parametrize(
    ("error", "is_auth"),
    [
        ({"code": 4006, "message": "Invalid stream"}, False),
        ({"code": 4002, "message": "Invalid signature"}, True),
        ({"code": 4003, "message": "Request has expired"}, True),
    ],
)
def test_an_error_frame_ends_the_session(error: object, is_auth: bool) -> None:
    """Told apart by whether the venue refused us or the stream."""
    with pytest.raises(SessionFailed) as caught:
        session().received(encoded({"id": None, "error": error}), 10.1)
    assert is_auth == caught.value.is_auth


def test_a_lost_connection_must_be_proven_again() -> None:
    """And each conversation is signed anew."""
    live = session()
    live.received(order_update(), 10.1)
    live.lost("closed", 11.0)
    assert not live.is_synced
    live.opened(12.0)
    assert (False, 1) == (live.is_synced, len(live.outbox()))


def test_no_text_of_the_session_holds_a_key() -> None:
    """An error or a frame that echoes key or signature is cleaned before anyone can log it."""
    live = session()
    [frame] = live.outbox()
    key, signature, *_ = json.loads(frame)["signature"]
    with pytest.raises(SessionFailed) as caught:
        live.received(encoded({"id": None, "error": {"code": 1, "message": f"bad signature {signature} of {key}"}}), 10.1)
    [rejected] = live.received(frame.encode(), 10.2)
    assert isinstance(rejected, FrameRejected)
    texts = [caught.value.reason, rejected.head, rejected.reason]
    assert [] == [text for text in texts if key[:32] in text or signature[:32] in text]
