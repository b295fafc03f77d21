"""What one seed is about: the instruments, the settings of the bot and how cruel the world is. Drawn once, never changed."""

from __future__ import annotations

import random
from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

from core.assembly import hedge_settings, quote_settings, risk_limits, venue_policy
from core.config import Config, RunConfig, StrategyConfig
from core.hedge_planner import HedgeSettings
from core.instrument import Instrument
from core.ports import Capabilities
from core.quote_policy import QuoteSettings
from core.risk_gate import RiskLimits
from core.types import ZERO, Fees, VenueId
from core.venue_watch import VenuePolicy

MAKER, HEDGE = VenueId("grvt"), VenueId("backpack")
VENUES = (MAKER, HEDGE)
START_S = 1_000.0
TRADING_S = 60.0
QUIET_S = 40.0
CALM_S = 16.0
"""The last part of the quiet time: nobody trades with us any more, so that what is open then can only be our own fault."""
EPOCH_MS = 1_700_000_000_000
PRICE = Decimal(3000)
SIZE = Decimal("0.10")
MIN_NOTIONAL = Decimal(100)
"""GRVT's for BTC, in a quarter of the seeds: a third of the size, so that partial fills leave less than it."""
HEDGE_MIN_NOTIONAL = Decimal(50)
"""Should GRVT be the hedge venue, one lot of BTC is worth less than its minimum. In some seeds in which the maker venue has none: what one
refuses, the other takes."""
MIN_ORDER = Decimal("0.04")
HISTORY_LAG_MAX_S = 1.6
"""Fills shown later than the tracker's proof of absence takes (2 s and one more) cannot be told from fills that never were."""
TROUBLE_SHARE = 1 / 12
_LOTS = ((Decimal("0.01"), Decimal("0.01")),) * 3 + ((Decimal("0.001"), Decimal("0.01")), (Decimal("0.01"), Decimal("0.001")))
_CAPABILITIES = {
    MAKER: Capabilities(
        native_oco=True,
        attached_tpsl=True,
        sibling_cancel_proven=False,
        dead_man_switch=True,
        cancel_by_client_id=True,
        query_by_client_id=True,
        amend=False,
        cancel_ttl_ms=5_000,
        submit_bound_s=65.0,
    ),
    HEDGE: Capabilities(
        native_oco=False,
        attached_tpsl=True,
        sibling_cancel_proven=False,
        dead_man_switch=False,
        cancel_by_client_id=True,
        query_by_client_id=False,
        amend=False,
        cancel_ttl_ms=0,
        submit_bound_s=2.0,
    ),
}
"""The same values as adapters/grvt and adapters/backpack; the simulation knows no adapter."""
FEES = {MAKER: Fees(Decimal("-0.0001"), Decimal("0.0005")), HEDGE: Fees(Decimal("0.0002"), Decimal("0.0005"))}


class Cruelty(NamedTuple):
    """Chances of each fault. Requests and frames: per piece; outages and the like: per second of trading."""

    lose_request: float = 0.0
    lose_answer: float = 0.0
    late: float = 0.0
    refuse: float = 0.0
    not_sent: float = 0.0
    throttle: float = 0.0
    slow: float = 0.0
    forget: float = 0.0
    read_fails: float = 0.0
    omit: float = 0.0
    history_lag_s: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    garble: float = 0.0
    flap: float = 0.0
    deaf: float = 0.0
    venue_restart: float = 0.0
    crash: float = 0.0
    actor_crash: float = 0.0
    stall: float = 0.0
    thin_book: float = 0.0
    clock_step: float = 0.0


USUAL = Cruelty(
    lose_request=0.04,
    lose_answer=0.06,
    late=0.05,
    refuse=0.03,
    not_sent=0.03,
    throttle=0.02,
    slow=0.05,
    forget=0.03,
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
    crash=0.02,
    actor_crash=0.03,
    stall=0.05,
    thin_book=0.02,
    clock_step=0.5,
)


class Troubles(NamedTuple):
    """Chances per second of trading of what befalls the account, its venues' operators and the disk (trouble.py)."""

    hand: float = 0.0
    liquidation: float = 0.0
    misbooking: float = 0.0
    lying: float = 0.0
    rival: float = 0.0
    disk: float = 0.0
    maintenance: float = 0.0
    ban: float = 0.0
    empty_book: float = 0.0
    zombie: float = 0.0


class Scenario(NamedTuple):
    """``lots``: maker's and hedge's. ``stops_at``: when SIGTERM arrives; None = never."""

    seed: int
    intensity: float
    cruelty: Cruelty
    troubles: Troubles
    maker: Instrument
    hedge: Instrument
    lifetime_s: float
    flow_rate: float
    move_rate: float
    stops_at: float | None
    max_delta: Decimal

    @property
    def is_clean(self) -> bool:
        """No fault at all: the strictest times apply."""
        return self.intensity == 0

    @property
    def lot(self) -> Decimal:
        return max(self.maker.lot_size, self.hedge.lot_size)

    @property
    def config(self) -> Config:
        strategy = StrategyConfig(
            kind="hedge",
            ticker="ETH",
            size=SIZE,
            primary=MAKER,
            hedge=HEDGE,
            max_delta=self.max_delta,
            max_position=Decimal("0.5"),
            fill_timeout_s=5.0,
            max_daily_loss=Decimal(1000),
        )
        return Config(run=RunConfig(state_dir="sim"), strategy=strategy)

    @property
    def quotes(self) -> QuoteSettings:
        settings = quote_settings(self.config, self.maker, self.hedge, FEES[MAKER], FEES[HEDGE])
        return settings._replace(order_lifetime_s=self.lifetime_s)

    @property
    def hedges(self) -> HedgeSettings:
        return hedge_settings(self.config)

    @property
    def limits(self) -> RiskLimits:
        return risk_limits(self.config, self.maker, self.hedge)

    @property
    def policies(self) -> dict[VenueId, VenuePolicy]:
        return {each.venue: venue_policy(each, _CAPABILITIES[each.venue]) for each in (self.maker, self.hedge)}


def scenario_of(seed: int, intensity: float | None = None, *, is_alone: bool = False, only: Collection[str] = ()) -> Scenario:
    """Every tenth seed has no faults; the others differ in which faults are in play, so that rare ones meet each other too.

    Troubles have dice of their own: a seed ``is_alone`` is the seed without them, down to the last byte. ``only``: these kinds of fault,
    at their usual rates, and no other.
    """
    dice = random.Random(f"{seed}/scenario")
    notional = random.Random(f"{seed}/notional").choice((ZERO, ZERO, ZERO, MIN_NOTIONAL))
    hedge_notional = random.Random(f"{seed}/notional of the hedge").choice((ZERO, ZERO, ZERO, ZERO, ZERO, HEDGE_MIN_NOTIONAL))
    drawn = dice.choice((0.5, 1.0, 1.0, 1.0, 1.5, 2.0))
    level = intensity if intensity is not None else 0.0 if seed % 10 == 9 else drawn
    maker_lot, hedge_lot = dice.choice(_LOTS)
    return Scenario(
        seed=seed,
        intensity=level,
        cruelty=_confined(_cruelty(dice, level), only),
        troubles=Troubles() if is_alone or only else _troubles(random.Random(f"{seed}/troubles"), level),
        maker=_instrument(MAKER, "ETH_USDT_Perp", "USDT", maker_lot, notional),
        hedge=_instrument(HEDGE, "ETH_USDC_PERP", "USDC", hedge_lot, ZERO if notional else hedge_notional),
        lifetime_s=dice.choice((8.0, 190.0, 190.0)),
        flow_rate=dice.uniform(0.3, 1.0),
        move_rate=dice.uniform(0.05, 0.5),
        stops_at=_stops_at(seed, dice),
        max_delta=SIZE + max(maker_lot, hedge_lot),
    )


def _stops_at(seed: int, dice: random.Random) -> float | None:
    """A quarter of the seeds are stopped, a quarter of these amid the faults."""
    if dice.random() >= 0.25:
        return None
    in_quiet, early = START_S + TRADING_S + dice.uniform(0.0, 20.0), random.Random(f"{seed}/stop early")
    return START_S + early.uniform(4.0, TRADING_S) if early.random() < 0.25 else in_quiet


def least_of(instrument: Instrument) -> Decimal:
    """The least quantity that others trade: the prices of a run stay within a few percent of the first."""
    return MIN_ORDER if instrument.min_notional else instrument.min_quantity


def _instrument(venue: VenueId, symbol: str, quote: str, lot: Decimal, notional: Decimal) -> Instrument:
    return Instrument(
        venue=venue,
        symbol=symbol,
        base="ETH",
        quote=quote,
        tick_size=Decimal("0.01"),
        lot_size=lot,
        min_quantity=lot,
        min_notional=notional,
    )


def _cruelty(dice: random.Random, level: float) -> Cruelty:
    """Usual rates times the level; each kind is left out of a third of the seeds."""
    drawn = Cruelty(*(rate * level * (dice.random() < 0.67) for rate in USUAL))
    return drawn._replace(history_lag_s=min(drawn.history_lag_s, HISTORY_LAG_MAX_S))


def _confined(cruelty: Cruelty, only: Collection[str]) -> Cruelty:
    return cruelty if not only else Cruelty(**{name: getattr(USUAL, name) for name in only})


def _troubles(dice: random.Random, level: float) -> Troubles:
    """Most of them end a run's trading for its minute: each is in play in one seed of twelve, once or twice."""
    usual = Troubles(
        hand=0.04,
        liquidation=0.03,
        misbooking=0.03,
        lying=0.04,
        rival=0.03,
        disk=0.04,
        maintenance=0.04,
        ban=0.04,
        empty_book=0.06,
        zombie=0.10,
    )
    return Troubles(*(rate * level * (dice.random() < TROUBLE_SHARE) for rate in usual))
