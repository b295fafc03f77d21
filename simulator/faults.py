"""The nemesis: which request or frame goes wrong, and how; the faces ask it and carry out what it says.

Must never touch an exchange or a socket itself.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias, get_args

import msgspec

RequestKind: TypeAlias = Literal[
    "lose_request", "lose_answer", "late", "status", "status_executed", "delay", "hang", "rate_limit"
]
FrameKind: TypeAlias = Literal["drop", "duplicate", "delay", "garble", "silence"]
Loss: TypeAlias = Literal["reset", "close", "truncate", "garble"]
"""By the values of ``net.Drop``."""
StreamChannel: TypeAlias = Literal["market", "account"]
CHANNELS = frozenset(get_args(StreamChannel))
DELAY_MAX_S = 3600.0


class RequestFault(NamedTuple):
    """What happens to one REST request.

    lose_request: never reaches the exchange, connection lost as ``how`` says · lose_answer: executed, connection lost · late: connection
    lost now, executed ``delay_s`` later · status: answered with ``status``/``headers``/``body``, not executed · status_executed:
    executed, then answered so · delay: executed, answered after ``delay_s`` · hang: neither executed nor answered, the connection
    stays open · rate_limit: the venue's own 429, with Retry-After where ``retry_after_s`` is set, not executed.
    """

    kind: RequestKind
    delay_s: float = 0.0
    status: int = 500
    body: str = ""
    retry_after_s: float | None = None
    how: Loss = "reset"
    headers: tuple[tuple[str, str], ...] = ()


class FrameFault(NamedTuple):
    """What happens to one stream frame; silence: nothing is sent on this channel until the rule is cleared."""

    kind: FrameKind
    delay_s: float = 0.0


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """One line of the nemesis. ``on``: a face's route, "market", "account", or "*" for whatever the kind applies to;
    ``count``: how often it strikes, None = until cleared; ``venue``: "*" = all."""

    kind: Literal[RequestKind, FrameKind]
    venue: str = "*"
    on: str = "*"
    count: int | None = None
    probability: float = 1.0
    delay_s: float = 0.0
    status: int = 500
    body: str = ""
    retry_after_s: float | None = None
    how: Loss = "reset"
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec turns into its ValidationError."""
        if not 0 <= self.probability <= 1:
            raise ValueError("probability is not between 0 and 1")
        if not 0 <= self.delay_s <= DELAY_MAX_S:
            raise ValueError(f"delay_s is not between 0 and {DELAY_MAX_S:.0f}")
        if self.count is not None and self.count < 1:
            raise ValueError("count is below 1")
        is_channel = self.on in CHANNELS
        if self.on != "*" and self.kind not in (get_args(FrameKind) if is_channel else get_args(RequestKind)):
            raise ValueError(f"{self.kind} does not apply to {self.on}")

    def fits(self, venue: str, on: str) -> bool:
        return self.count != 0 and self.venue in ("*", venue) and self.on in ("*", on)


class Nemesis:
    """Rules in the order they were added; the first that fits, and whose dice fall, decides."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._rules: list[Rule] = []

    def on_request(self, venue: str, route: str) -> RequestFault | None:
        """``route``: the face's own name of the endpoint, by which a rule's "on" selects it."""
        for rule in self._fitting(venue, route):
            match rule.kind:
                case "lose_request" | "lose_answer" | "late" | "status" | "status_executed" | "delay" | "hang" | "rate_limit":
                    if self._strikes(rule):
                        return _request_fault(rule.kind, rule)
                case _:
                    continue
        return None

    def on_frame(self, venue: str, channel: StreamChannel) -> FrameFault | None:
        """Asked once per frame, before it is sent."""
        for rule in self._fitting(venue, channel):
            match rule.kind:
                case "drop" | "duplicate" | "delay" | "garble" | "silence":
                    if self._strikes(rule):
                        return FrameFault(rule.kind, rule.delay_s)
                case _:
                    continue
        return None

    def add(self, rule: Mapping[str, object]) -> None:
        """Fields as in ``Rule``. Raises ValueError with one line on what is wrong."""
        try:
            self._rules.append(msgspec.convert(rule, Rule))
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    def clear(self) -> None:
        """No rule is left; a silenced channel speaks again."""
        self._rules.clear()

    def _fitting(self, venue: str, on: str) -> list[Rule]:
        return [rule for rule in self._rules if rule.fits(venue, on)] if self._rules else []

    def _strikes(self, rule: Rule) -> bool:
        if rule.probability < 1 and self._random.random() >= rule.probability:
            return False
        if rule.count is not None:
            rule.count -= 1
        return True


def _request_fault(kind: RequestKind, rule: Rule) -> RequestFault:
    return RequestFault(
        kind,
        delay_s=rule.delay_s,
        status=rule.status,
        body=rule.body,
        retry_after_s=rule.retry_after_s,
        how=rule.how,
        headers=tuple(rule.headers.items()),
    )
