"""From configuration and venue facts to the cores' settings: nothing is lost, swapped or rounded on the way."""

from __future__ import annotations

from core.assembly import COLLAR_MARGIN_BPS, hedge_settings, quote_settings, risk_limits, venue_policy
from core.config import Config, RunConfig, StrategyConfig
from core.ports import Capabilities
from core.types import Fees
from tests.core.builders import BACKPACK, GRVT, D, instrument

CONFIG = Config(
    run=RunConfig(state_dir="s", iterations=7),
    strategy=StrategyConfig(
        kind="hedge",
        ticker="ETH",
        primary="grvt",
        hedge="backpack",
        size=D("0.10"),
        max_delta=D("0.12"),
        max_position=D("0.50"),
        fill_timeout_s=9.0,
        max_hold_s=500.0,
        direction="basis",
        min_build_bps=D(1),
        min_unwind_bps=D(2),
        hedge_slippage_bps=(D(10), D(30)),
        fx={"USDC/USDT": D("0.99")},
    ),
)
MAKER, HEDGE = instrument(GRVT, lot="0.01"), instrument(BACKPACK, lot="0.05")
MAKER_FEES, HEDGE_FEES = Fees(D("-0.0001"), D("0.0002")), Fees(D("0.0003"), D("0.0004"))
CAPABILITIES = Capabilities(
    native_oco=False,
    attached_tpsl=False,
    sibling_cancel_proven=False,
    dead_man_switch=True,
    cancel_by_client_id=True,
    query_by_client_id=True,
    amend=False,
    cancel_ttl_ms=4_000,
    submit_bound_s=7.0,
)


def test_the_quoter_gets_the_configured_numbers() -> None:
    made = quote_settings(CONFIG, MAKER, HEDGE, MAKER_FEES, HEDGE_FEES)
    expected = (D("0.10"), D("0.50"), "basis", D(1), D(2), 9.0, 500.0, 7)
    assert expected == (
        made.size,
        made.max_position,
        made.direction,
        made.min_build_bps,
        made.min_unwind_bps,
        made.fill_timeout_s,
        made.max_hold_s,
        made.iterations,
    )


def test_each_venues_fees_stay_with_their_venue() -> None:
    made = quote_settings(CONFIG, MAKER, HEDGE, MAKER_FEES, HEDGE_FEES)
    assert (MAKER_FEES, HEDGE_FEES) == (made.maker_fees, made.hedge_fees)


def test_the_hedges_currency_is_converted_into_the_makers() -> None:
    assert D("0.99") == quote_settings(CONFIG, MAKER, HEDGE, MAKER_FEES, HEDGE_FEES).fx


def test_the_seeds_staleness_numbers_are_the_defaults() -> None:
    """0.5 / 10 / 5 / 180 (STRATEGY D5); the fill timeout is the configuration's."""
    made = quote_settings(CONFIG, MAKER, HEDGE, MAKER_FEES, HEDGE_FEES)
    defaults = StrategyConfig(kind="hedge", ticker="ETH", size=D(1)).fill_timeout_s
    assert (0.5, 10.0, 5.0, 180.0) == (made.check_s, defaults, made.cancel_pause_s, made.hard_timeout_s)


def test_the_hedger_climbs_the_configured_ladder() -> None:
    assert (D(10), D(30)) == hedge_settings(CONFIG).ladder_bps


def test_the_gates_limits_fit_every_order_the_cores_may_decide() -> None:
    """An honest hedge of the widest step, or of a whole position, must never look like a fat finger."""
    made = risk_limits(CONFIG, MAKER, HEDGE)
    assert (D("0.12"), D("0.50"), D("0.55"), D(30) + COLLAR_MARGIN_BPS, D("0.05")) == (
        made.max_delta,
        made.max_position,
        made.max_quantity,
        made.collar_bps,
        made.lot,
    )


def test_the_tracker_gets_the_bounds_that_the_venue_enforces() -> None:
    made = venue_policy(HEDGE, CAPABILITIES)
    assert (HEDGE.symbol, D("0.05"), 4_000, 7.0) == (made.symbol, made.lot_size, made.cancel_ttl_ms, made.submit_bound_s)
