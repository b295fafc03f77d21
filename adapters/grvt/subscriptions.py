"""What a GRVT socket was asked for and whether it really delivers: confirmations and sequence numbers (grvt.md §2).

Sans I/O. Every doubt ends the conversation (SessionFailed): only a new one, with a new snapshot, is known to be whole.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from adapters.grvt import codes, requests
from adapters.grvt.envelope import Confirmed, Failed, Feed
from adapters.transport.stream import SessionFailed

CONFIRM_WITHIN_S = 2.0
ATTEMPTS_MAX = 3


class Verdict(enum.Enum):
    SNAPSHOT = "snapshot"
    NEXT = "next"
    DUPLICATE = "duplicate"


class SequenceNumbers:
    """Numbers of one stream and selector: 0 = snapshot, then +1 a frame from ``first_sequence_number`` on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: int | None = None
        self._is_snapshot_due = True

    def expect_snapshot(self) -> None:
        """We subscribed (again): snapshots with number 0 may come."""
        self._is_snapshot_due = True

    def expect_first(self, number: int) -> None:
        """The answer to the subscription names the first number; a frame that overtook the answer is the better witness."""
        if self._last is None and number > 0:
            self._last = number - 1

    def judge(self, number: int, previous: int | None) -> Verdict:
        """Raises SessionFailed on a gap, a decrease, or a chain that does not link to the last frame."""
        if number == 0:
            if self._is_snapshot_due:
                return Verdict.SNAPSHOT
            raise SessionFailed(f"{self._name}: sequence fell from {self._last} to 0")
        last = self._last
        if number == last:
            return Verdict.DUPLICATE
        if last is not None and number != last + 1:
            word = "gap" if number > last else "decrease"
            raise SessionFailed(f"{self._name}: sequence {word} from {last} to {number}")
        is_first = self._is_snapshot_due
        if previous is not None and previous != number - 1 and not (is_first and previous == 0):
            raise SessionFailed(f"{self._name}: frame {number} follows {previous}, not {number - 1}")
        self._last = number
        self._is_snapshot_due = False
        return Verdict.NEXT


class _Subscription:
    def __init__(self, stream: str, selector: str) -> None:
        self.stream = stream
        self.selector = selector
        self.sequence = SequenceNumbers(stream)
        self.is_confirmed = False
        self.attempts = 0
        self.sent_at = 0.0


class Subscriptions:
    """All subscriptions of one connection; a new connection gets a new object."""

    def __init__(self, wanted: Sequence[tuple[str, str]], now: float) -> None:
        self._all = {stream: _Subscription(stream, selector) for stream, selector in wanted}
        self._by_request: dict[int, _Subscription] = {}
        self._outbox: list[str] = []
        for subscription in self._all.values():
            self._send(subscription, now)

    @property
    def are_confirmed(self) -> bool:
        return all(subscription.is_confirmed for subscription in self._all.values())

    def outbox(self) -> list[str]:
        queued, self._outbox = self._outbox, []
        return queued

    def covers(self, stream: str) -> bool:
        return stream in self._all

    def confirm(self, answer: Confirmed) -> None:
        """An answer that does not list what was asked for confirms nothing; the subscription is asked for again."""
        subscription = self._by_request.get(answer.request_id)
        if subscription is None or answer.stream != subscription.stream or subscription.selector not in answer.selectors:
            return
        subscription.is_confirmed = True
        index = answer.selectors.index(subscription.selector)
        if index < len(answer.first_sequence):
            subscription.sequence.expect_first(answer.first_sequence[index])

    def failure(self, answer: Failed) -> SessionFailed:
        """An error on the socket ends the conversation; 1000 means that the handshake's cookie is not accepted (grvt.md §1)."""
        subscription = self._by_request.get(answer.request_id or 0)
        what = subscription.stream if subscription is not None else f"request {answer.request_id}"
        is_auth = answer.code == codes.NOT_AUTHENTICATED
        return SessionFailed(f"{what}: {answer.code} {answer.message[:200]}", is_auth=is_auth)

    def judge(self, feed: Feed) -> Verdict:
        return self._all[feed.stream].sequence.judge(feed.sequence, feed.previous)

    def tick(self, now: float) -> None:
        """Ask again for what is not confirmed in time; raises SessionFailed after the third miss."""
        for subscription in self._all.values():
            if subscription.is_confirmed or now - subscription.sent_at < CONFIRM_WITHIN_S:
                continue
            if subscription.attempts >= ATTEMPTS_MAX:
                raise SessionFailed(f"{subscription.stream}: {ATTEMPTS_MAX} subscriptions unanswered")
            self._send(subscription, now)

    def _send(self, subscription: _Subscription, now: float) -> None:
        request_id = len(self._by_request) + 1
        self._by_request[request_id] = subscription
        subscription.attempts += 1
        subscription.sent_at = now
        subscription.sequence.expect_snapshot()
        self._outbox.append(requests.subscribe(request_id, subscription.stream, subscription.selector))
