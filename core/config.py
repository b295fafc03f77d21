"""The configuration file as typed values, and what is wrong with it in one line.

The text is TOML; reading the file is the caller's business. Unknown keys, wrong types and missing keys are ``ConfigError`` with the
file, the key and what is accepted. Times are seconds, quantities and prices decimal strings.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec import inspect

from core.config_shape import misfits

KNOWN_VENUES = ("grvt", "backpack", "apex")
BRACKET_VENUES = ("grvt", "apex")
"""Backpack's trigger orders are not spoken here."""
NATIVE_OCO_VENUES = ("grvt",)


class ConfigError(Exception):
    """One line for the operator; exit code 2."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class RunConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state_dir: str
    iterations: int = 0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class BracketConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    venue: str
    side: Literal["BUY", "SELL"]
    take_profit_pct: Decimal
    stop_loss_pct: Decimal
    on_manual_cancel: Literal["cancel_sibling", "keep_stop", "close"] = "cancel_sibling"
    native_oco: bool = False
    """Whether the exits are placed as a pair that the venue itself links; they are watched in the same way as without."""


class StrategyConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantities base, ``max_daily_loss`` quote currency, thresholds in bps of one leg's notional (STRATEGY: net edge)."""

    kind: Literal["hedge", "bracket"]
    ticker: str
    size: Decimal
    primary: str = ""
    hedge: str = ""
    max_delta: Decimal | None = None
    max_position: Decimal | None = None
    fill_timeout_s: float = 10.0
    direction: Literal["alternate", "basis"] = "alternate"
    min_build_bps: Decimal = Decimal("-1000")
    min_unwind_bps: Decimal = Decimal("-1000")
    max_hold_s: float = 600.0
    max_daily_loss: Decimal = Decimal("5")
    hedge_slippage_bps: tuple[Decimal, ...] = (Decimal("20"), Decimal("40"), Decimal("80"))
    fx: dict[str, Decimal] = msgspec.field(default_factory=dict)
    bracket: BracketConfig | None = None


class VenueConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``endpoints`` and ``limits`` (requests per second by class) override the adapter's defaults, which say what they accept."""

    environment: Literal["prod", "testnet"] = "prod"
    endpoints: dict[str, str] = msgspec.field(default_factory=dict)
    limits: dict[str, float] = msgspec.field(default_factory=dict)


class LimitsConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    shared: str = ""


class AlertsConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    urls: tuple[str, ...] = ()


class MetricsConfig(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = ""


class Config(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    run: RunConfig
    strategy: StrategyConfig
    venues: dict[str, VenueConfig] = msgspec.field(default_factory=dict)
    limits: LimitsConfig = LimitsConfig()
    alerts: AlertsConfig = AlertsConfig()
    metrics: MetricsConfig = MetricsConfig()

    def venue(self, name: str) -> VenueConfig:
        """The section of one venue; an absent section means its defaults."""
        return self.venues.get(name, VenueConfig())


def parse_config(text: str, origin: str, overrides: dict[str, Any] | None = None) -> Config:
    """TOML text to a checked Config; ``overrides`` maps dotted keys (``strategy.size``) to values that replace the file's.

    Raises ConfigError, one line, naming ``origin``, the key and the accepted values.
    """
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{origin}: not valid TOML: {error}") from None
    for dotted, value in (overrides or {}).items():
        section, _, key = dotted.partition(".")
        table = tree.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    for problem in misfits(tree, inspect.type_info(Config)):
        raise ConfigError(f"{origin}: {problem}")
    config = msgspec.convert(tree, Config)
    for problem in _problems(config):
        raise ConfigError(f"{origin}: {problem}")
    return config


def _problems(config: Config) -> list[str]:
    unknown = [name for name in config.venues if name not in KNOWN_VENUES]
    found = [f"[venues.{name}] is not a venue; accepted: {', '.join(KNOWN_VENUES)}" for name in unknown]
    strategy = config.strategy
    found += _not_positive("strategy.size", strategy.size)
    found += _not_positive("strategy.max_daily_loss", strategy.max_daily_loss)
    if not strategy.ticker.isalnum():
        found.append(f"strategy.ticker: {strategy.ticker!r} is not a ticker; accepted: the base asset's name such as ETH")
    if config.run.iterations < 0:
        found.append("run.iterations: accepted: 0 (until stopped) or a positive number of cycles")
    if not config.run.state_dir or not config.run.state_dir.isprintable():
        found.append("run.state_dir: accepted: a folder that this process may write, no control characters in its name")
    found += _unserved(config)
    return found + (_hedge_problems(strategy) if strategy.kind == "hedge" else _bracket_problems(strategy))


def _unserved(config: Config) -> list[str]:
    """Settings that nothing acts on yet: whoever sets one would rely on it."""
    settings = {"limits.shared": config.limits.shared, "alerts.urls": config.alerts.urls, "metrics.listen": config.metrics.listen}
    return [f"{key}: not available in this version; accepted: empty" for key, value in settings.items() if value]


def _hedge_problems(strategy: StrategyConfig) -> list[str]:
    found = []
    for key in ("primary", "hedge"):
        name = getattr(strategy, key)
        if name not in KNOWN_VENUES:
            found.append(f"strategy.{key}: {name!r} is not a venue; accepted: {', '.join(KNOWN_VENUES)}")
    if strategy.primary == strategy.hedge:
        found.append(f"strategy.hedge: {strategy.hedge!r} is also the primary; accepted: another venue")
    max_delta = strategy.max_delta
    if max_delta is None:
        found.append("strategy.max_delta: missing; accepted: a decimal string, at least strategy.size")
        max_delta = strategy.size
    found += _not_positive("strategy.max_delta", max_delta)
    if strategy.size > max_delta:
        found.append(f"strategy.size: {strategy.size} is above strategy.max_delta {max_delta}; accepted: at most max_delta")
    if strategy.max_position is None:
        found.append("strategy.max_position: missing; accepted: a decimal string, at least strategy.size")
    elif strategy.max_position < strategy.size or not strategy.max_position.is_finite():
        found.append(f"strategy.max_position: {strategy.max_position} is below strategy.size; accepted: at least {strategy.size}")
    for key in ("fill_timeout_s", "max_hold_s"):
        if not 0 < getattr(strategy, key) < 86_400 * 30:
            found.append(f"strategy.{key}: accepted: seconds above 0")
    ladder = strategy.hedge_slippage_bps
    if not ladder or any(not (step.is_finite() and 0 < step <= 500) for step in ladder) or list(ladder) != sorted(ladder):
        found.append("strategy.hedge_slippage_bps: accepted: rising decimal strings above 0, at most 500")
    return found + _threshold_problems(strategy)


def _threshold_problems(strategy: StrategyConfig) -> list[str]:
    found = []
    for key in ("min_build_bps", "min_unwind_bps"):
        if not getattr(strategy, key).is_finite():
            found.append(f"strategy.{key}: accepted: a finite decimal string")
    for pair, rate in strategy.fx.items():
        if "/" not in pair or not (rate.is_finite() and rate > 0):
            found.append(f'strategy.fx: {pair!r} = {rate}; accepted: "USDC/USDT" = a positive decimal string')
    return found


def _bracket_problems(strategy: StrategyConfig) -> list[str]:
    bracket = strategy.bracket
    if bracket is None:
        return [
            "[strategy.bracket] is missing; accepted: venue, side, take_profit_pct, stop_loss_pct, on_manual_cancel, native_oco"
        ]
    found = [] if bracket.venue in BRACKET_VENUES else [f"strategy.bracket.venue: accepted: {', '.join(BRACKET_VENUES)}"]
    if bracket.native_oco and bracket.venue not in NATIVE_OCO_VENUES:
        found.append(f"strategy.bracket.native_oco: {bracket.venue} links no orders; accepted: false")
    for key in ("take_profit_pct", "stop_loss_pct"):
        value = getattr(bracket, key)
        if not (value.is_finite() and 0 < value < 50):
            found.append(f"strategy.bracket.{key}: {value}; accepted: percent of the entry price, above 0 and below 50")
    return found


def _not_positive(key: str, value: Decimal) -> list[str]:
    return [] if value.is_finite() and value > 0 else [f"{key}: {value}; accepted: a decimal string above 0"]
