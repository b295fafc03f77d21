"""From configuration and venue facts to the settings of each core: the one place where the two meet."""

from __future__ import annotations

from decimal import Decimal

from core.config import Config
from core.hedge_planner import HedgeSettings
from core.instrument import Instrument
from core.oco_pair import PairSettings
from core.ports import Capabilities
from core.preflight import fx_rate
from core.quote_policy import QuoteSettings
from core.risk_gate import RiskLimits
from core.types import Fees, Side
from core.venue_watch import BRACKET_AUDIT_S, VenuePolicy

COLLAR_MARGIN_BPS = Decimal(20)
"""A hedge may be priced this much beyond the widest step of its ladder before the gate calls it absurd."""


def quote_settings(config: Config, maker: Instrument, hedge: Instrument, maker_fees: Fees, hedge_fees: Fees) -> QuoteSettings:
    strategy = config.strategy
    assert strategy.max_position is not None
    assert strategy.max_delta is not None
    return QuoteSettings(
        size=strategy.size,
        max_position=strategy.max_position,
        max_delta=strategy.max_delta,
        fx=fx_rate(strategy.fx, hedge.quote, maker.quote),
        maker_fees=maker_fees,
        hedge_fees=hedge_fees,
        hedge_cap_bps=strategy.hedge_slippage_bps[0],
        direction=strategy.direction,
        min_build_bps=strategy.min_build_bps,
        min_unwind_bps=strategy.min_unwind_bps,
        fill_timeout_s=strategy.fill_timeout_s,
        max_hold_s=strategy.max_hold_s,
        iterations=config.run.iterations,
    )


def hedge_settings(config: Config) -> HedgeSettings:
    return HedgeSettings(ladder_bps=config.strategy.hedge_slippage_bps)


def risk_limits(config: Config, maker: Instrument, hedge: Instrument) -> RiskLimits:
    strategy = config.strategy
    assert strategy.max_delta is not None
    assert strategy.max_position is not None
    lot = max(maker.lot_size, hedge.lot_size)
    return RiskLimits(
        max_delta=strategy.max_delta,
        max_position=strategy.max_position,
        max_quantity=strategy.max_position + lot,
        collar_bps=strategy.hedge_slippage_bps[-1] + COLLAR_MARGIN_BPS,
        lot=lot,
    )


def venue_policy(instrument: Instrument, capabilities: Capabilities) -> VenuePolicy:
    return VenuePolicy(
        symbol=instrument.symbol,
        lot_size=instrument.lot_size,
        cancel_ttl_ms=capabilities.cancel_ttl_ms,
        submit_bound_s=capabilities.submit_bound_s,
    )


def bracket_policy(instrument: Instrument, capabilities: Capabilities) -> VenuePolicy:
    return venue_policy(instrument, capabilities)._replace(audit_s=BRACKET_AUDIT_S)


def pair_settings(config: Config, capabilities: Capabilities) -> PairSettings:
    """The OCO pair of a bracket run, linked by the venue where that is asked for and the venue can."""
    bracket = config.strategy.bracket
    assert bracket is not None
    return PairSettings(
        side=Side(bracket.side),
        take_profit_pct=bracket.take_profit_pct,
        stop_loss_pct=bracket.stop_loss_pct,
        on_manual_cancel=bracket.on_manual_cancel,
        close_ladder_bps=config.strategy.hedge_slippage_bps,
        native_oco=bracket.native_oco and capabilities.native_oco,
    )


def bracket_collar_bps(config: Config) -> Decimal:
    return config.strategy.hedge_slippage_bps[-1] + COLLAR_MARGIN_BPS
