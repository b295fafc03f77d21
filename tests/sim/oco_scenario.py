"""What one seed of the OCO simulation is about: the bracket, the story it is meant to live through, and how the venue and the world behave."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Literal, NamedTuple

from core.instrument import Instrument
from core.oco_pair import PairSettings
from core.types import Fees, Role, Side, VenueId
from core.venue_watch import BRACKET_AUDIT_S, VenuePolicy
from tests.sim.scenario import Cruelty

APEX = VenueId("apex")
SYMBOL = "ETH-USDT"
Story = Literal["tp", "sl", "manual", "both", "partial"]
Policy = Literal["cancel_sibling", "keep_stop", "close"]
Link = Literal["", "kept", "ignored", "refused"]
Sibling = Literal["stays", "refused", "user_canceled"]
STORIES: tuple[Story, ...] = ("tp", "sl", "manual", "both", "partial")
POLICIES: tuple[Policy, ...] = ("cancel_sibling", "keep_stop", "close")
FEES = Fees(Decimal("0.0002"), Decimal("0.0005"))
LINKS: tuple[Link, ...] = ("", "", "kept", "kept", "ignored", "refused")
LADDER_BPS = (Decimal(20), Decimal(40), Decimal(80))
COLLAR_BPS = Decimal(100)
RATES = {"create": 2.0, "cancel": 2.0, "query": 1.5, "other": 4.0, "total": 6.0}
BURST_S = 15.0
"""The same values as adapters/apex; the simulation knows no adapter."""
SUBMIT_BOUND_S = 6.0


class Venue(NamedTuple):
    """Habits of the venue that no source settles (apex.md §0.5, §9), so that every one of them must be lived with.

    ``reduces_only`` False: reduce-only is ignored. ``sibling``: what becomes of a waiting stop when the position is gone.
    ``fill_lag_s``: executions are pushed so much later than the sibling's end.
    ``link``: what the venue makes of a linked pair (grvt.md §4); "": the switch is off and none is sent.
    ``refused_cancels``: so many cancels of each order are refused first (20016, 20016, then a body that is not JSON).
    """

    reduces_only: bool = True
    sibling: Sibling = "stays"
    refused_cancels: int = 0
    has_history: bool = True
    sl_refusals: int = 0
    tp_refusals: int = 0
    expires_leg: bool = False
    fill_lag_s: float = 0.0
    link: Link = ""


class OcoScenario(NamedTuple):
    """``hand``: the leg that the user cancels in story manual. ``iterations``: brackets of the run. ``reconnects``: the venue closes the
    account stream once while the pair stands, and the next login tells history. ``denial_rate``: orders that the bot's own side refuses."""

    seed: str
    story: Story
    policy: Policy
    hand: Role
    side: Side
    size: Decimal
    instrument: Instrument
    venue: Venue
    cruelty: Cruelty
    intensity: float
    iterations: int
    drift: int
    has_foreign: bool
    reconnects: bool
    denial_rate: float

    @property
    def is_clean(self) -> bool:
        return self.intensity == 0

    @property
    def settings(self) -> PairSettings:
        return PairSettings(
            side=self.side,
            take_profit_pct=Decimal("0.1"),
            stop_loss_pct=Decimal("0.1"),
            on_manual_cancel=self.policy,
            close_ladder_bps=LADDER_BPS,
            native_oco=bool(self.venue.link),
        )

    @property
    def policies(self) -> dict[VenueId, VenuePolicy]:
        policy = VenuePolicy(
            symbol=SYMBOL,
            lot_size=self.instrument.lot_size,
            cancel_ttl_ms=0,
            submit_bound_s=SUBMIT_BOUND_S,
            audit_s=BRACKET_AUDIT_S,
        )
        return {APEX: policy}


def story_of(story: Story, number: int, policy: Policy | None = None) -> OcoScenario:
    """A trial without faults of the network: the venue's habits and the market differ, the story is the named one."""
    dice = random.Random(f"{story}/{number}/oco")
    return _drawn(f"{story}-{number}", dice, story, policy or dice.choice(POLICIES), Cruelty(), 0.0, iterations=1)


def nemesis_of(number: int, intensity: float | None = None) -> OcoScenario:
    """A trial in a hostile world: any story, any habit, one to three brackets in a row."""
    dice = random.Random(f"nemesis/{number}/oco")
    level = intensity if intensity is not None else dice.choice((0.5, 1.0, 1.0, 1.5, 2.0))
    story, policy = dice.choice(STORIES), dice.choice(POLICIES)
    return _drawn(f"nemesis-{number}", dice, story, policy, _cruelty(dice, level), level, iterations=dice.choice((1, 2, 3)))


def _drawn(
    name: str, dice: random.Random, story: Story, policy: Policy, cruelty: Cruelty, level: float, *, iterations: int
) -> OcoScenario:
    lot = dice.choice((Decimal("0.01"), Decimal("0.001")))
    instrument = Instrument(
        venue=APEX, symbol=SYMBOL, base="ETH", quote="USDT", tick_size=Decimal("0.01"), lot_size=lot, min_quantity=lot
    )
    is_odd = level > 0 and dice.random() < 0.25
    venue = Venue(
        reduces_only=dice.random() < (0.4 if story == "both" else 0.8),
        sibling=dice.choice(("stays", "stays", "refused", "user_canceled")),
        refused_cancels=dice.choice((0, 0, 3)),
        sl_refusals=dice.choice((0, 1, 2)) if is_odd else 0,
        tp_refusals=dice.choice((0, 1)) if is_odd else 0,
        expires_leg=is_odd and dice.random() < 0.5,
        fill_lag_s=dice.choice((0.0, 0.0, 0.15)),
        link=random.Random(f"{name}/link").choice(LINKS),
    )
    return OcoScenario(
        seed=name,
        story=story,
        policy=policy,
        hand=dice.choice((Role.TP, Role.SL)),
        side=dice.choice((Side.BUY, Side.SELL)),
        size=dice.choice(
            (Decimal("0.10"), Decimal("0.50")) if story == "partial" else (Decimal("0.01"), Decimal("0.10"), Decimal("0.50"))
        ),
        instrument=instrument,
        venue=venue,
        cruelty=cruelty,
        intensity=level,
        iterations=iterations,
        drift=dice.choice((10, 20, 40, 120)),
        has_foreign=level > 0 and dice.random() < 0.2,
        reconnects=dice.random() < 0.3,
        denial_rate=0.1 if is_odd else 0.0,
    )


def _cruelty(dice: random.Random, level: float) -> Cruelty:
    """Usual rates times the level; each kind is left out of a third of the seeds."""
    usual = Cruelty(
        lose_request=0.04,
        lose_answer=0.06,
        late=0.05,
        refuse=0.03,
        not_sent=0.03,
        throttle=0.02,
        slow=0.05,
        read_fails=0.10,
        omit=0.10,
        history_lag_s=0.8,
        drop=0.10,
        duplicate=0.10,
        delay=0.20,
        reorder=0.10,
        garble=0.03,
        flap=0.03,
        deaf=0.01,
        venue_restart=0.008,
        crash=0.03,
        actor_crash=0.03,
        stall=0.05,
        clock_step=0.5,
    )
    return Cruelty(**{name: getattr(usual, name) * level * (dice.random() < 0.67) for name in usual._fields})
