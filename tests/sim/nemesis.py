"""Decides what goes wrong, request by request and frame by frame, and which larger misfortune strikes when.

It has its own source of chance, so that a change in the bot does not change what the world does to it more than it must. It carries nothing out.
"""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

from tests.sim.scenario import Cruelty

RequestKind = Literal["fine", "lose_request", "lose_answer", "late", "refuse", "not_sent", "throttle", "slow"]
FrameKind = Literal["fine", "drop", "duplicate", "delay", "reorder"]
LATE_MAX_S = 4.5
"""The network gives a request up after this long; RELIABILITY.md §4.3 plants bugs against the same bound."""
MISFORTUNES = ("flap", "deaf", "venue_restart", "crash", "actor_crash", "stall", "thin_book", "clock_step")


class Request(NamedTuple):
    """``there_s``: when it arrives after leaving; ``answered_s``: when the client hears (or gives up) after leaving."""

    kind: RequestKind
    there_s: float
    answered_s: float


class Frame(NamedTuple):
    """``delays_s``: one per copy delivered; none: it is lost. ``overtakes``: it does not wait for earlier frames."""

    delays_s: tuple[float, ...]
    overtakes: bool


class Nemesis:
    """``is_on`` False: the quiet time, only ordinary delays."""

    def __init__(self, seed: int, cruelty: Cruelty) -> None:
        self.is_on = True
        self.cruelty = cruelty
        self.random = random.Random(f"{seed}/nemesis")
        self.struck: dict[str, int] = {}

    def trade(self, deadline_s: float) -> Request:
        """An order or a cancel."""
        chance = self.random.random
        there, back = 0.015 + 0.03 * chance(), 0.015 + 0.03 * chance()
        if not self.is_on:
            return Request("fine", there, there + back)
        cruelty, draw = self.cruelty, chance()
        for kind, rate in (
            ("lose_request", cruelty.lose_request),
            ("lose_answer", cruelty.lose_answer),
            ("late", cruelty.late),
            ("refuse", cruelty.refuse),
            ("not_sent", cruelty.not_sent),
            ("throttle", cruelty.throttle),
            ("slow", cruelty.slow),
        ):
            draw -= rate
            if draw < 0:
                self._count(kind)
                return self._request(kind, there, back, deadline_s)
        return Request("fine", there, there + back)

    def _request(self, kind: str, there: float, back: float, deadline_s: float) -> Request:
        chance = self.random.random
        given_up = there + back if chance() < 0.5 else deadline_s
        match kind:
            case "lose_request" | "lose_answer":
                return Request("lose_request" if kind == "lose_request" else "lose_answer", there, given_up)
            case "late":
                return Request("late", LATE_MAX_S * chance(), given_up)
            case "refuse" | "throttle" | "not_sent":
                return Request(kind, there, there + back)  # type: ignore[arg-type]  # the match has just narrowed it
            case _:
                slow = there + chance() * deadline_s * 0.9
                return Request("slow", min(there + chance(), slow), slow)

    def read_fails(self) -> bool:
        return self._happens("read_fails", self.cruelty.read_fails)

    def omits(self) -> bool:
        return self._happens("omit", self.cruelty.omit)

    def forgets(self) -> bool:
        return self._happens("forget", self.cruelty.forget)

    def history_lag_s(self) -> float:
        return self.cruelty.history_lag_s if self.is_on else 0.0

    def trip_s(self) -> float:
        return 0.03 + 0.06 * self.random.random()

    def frame(self) -> Frame:
        """One frame of an account stream."""
        chance = self.random.random
        base = 0.02 + 0.05 * chance()
        if not self.is_on:
            return Frame((base,), overtakes=False)
        cruelty = self.cruelty
        overtakes = self._happens("reorder", cruelty.reorder)
        if self._happens("drop", cruelty.drop + cruelty.garble):
            return Frame((), overtakes)
        if self._happens("delay", cruelty.delay):
            base += 3.0 * chance() ** 2
        if self._happens("duplicate", cruelty.duplicate):
            return Frame((base, base + 8.0 * chance() ** 2), overtakes)
        return Frame((base,), overtakes)

    def strikes(self, name: str, period_s: float) -> bool:
        """Whether a larger misfortune happens in the next ``period_s`` seconds."""
        return self._happens(name, getattr(self.cruelty, name) * period_s)

    def _happens(self, name: str, rate: float) -> bool:
        if not rate or not self.is_on or self.random.random() >= rate:
            return False
        self._count(name)
        return True

    def _count(self, name: str) -> None:
        self.struck[name] = self.struck.get(name, 0) + 1
