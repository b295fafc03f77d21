"""GRVT: ``open_venue`` composes the adapter's parts; everything the bot knows of this venue's wire lives in this package.

It must never show a credential: messages name the missing one, never its value.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.grvt.auth import LOGIN_DEADLINE_S, GrvtAuth
from adapters.grvt.caller import Caller
from adapters.grvt.client import CAPABILITIES, GrvtQueryLane, GrvtTradeLane
from adapters.grvt.clock import VenueClock
from adapters.grvt.endpoints import DEFAULT_LIMITS, ENDPOINT_KEYS, Environment, environment, limits
from adapters.grvt.parse import Account
from adapters.grvt.setup import GrvtSetup
from adapters.grvt.signer import OrderSigner
from adapters.grvt.stream import GrvtMarketSession, GrvtTradingSession
from adapters.grvt.values import VENUE
from adapters.transport.rest import RestClient
from adapters.transport.stream import StreamLoop
from core.config import VenueConfig
from core.instrument import Instrument
from core.ports import QueryLane, Stream, TradeLane, Venue, VenueRefused, VenueSetup

__all__ = ["CREDENTIALS", "DEFAULT_LIMITS", "ENDPOINT_KEYS", "GrvtVenue", "open_venue"]

CREDENTIALS = ("GRVT_API_KEY", "GRVT_PRIVATE_KEY", "GRVT_TRADING_ACCOUNT_ID")
TRADE_DEADLINE_S = 2.0
QUERY_DEADLINE_S = 5.0


class GrvtVenue:
    """One trading account; its lanes and streams share the session, the clock and the key."""

    name = VENUE
    capabilities = CAPABILITIES
    setup: VenueSetup

    def __init__(
        self, env: Environment, rates: Mapping[str, float], api_key: str, signer: OrderSigner, sub_account_id: str
    ) -> None:
        self.limits = rates
        self._env = env
        self._signer = signer
        self._sub_account_id = sub_account_id
        self._clock = VenueClock()
        self._auth = GrvtAuth(api_key, lambda: RestClient(env.edge, total_deadline_s=LOGIN_DEADLINE_S))
        trades, market_data = self._trades(QUERY_DEADLINE_S), self._market_data()
        self.setup = GrvtSetup(trades, market_data, self._auth, self._clock, sub_account_id)

    def clock_offset_ms(self) -> float:
        return self._clock.offset_ms

    def trade_lane(self, instrument: Instrument) -> TradeLane:
        caller = self._trades(TRADE_DEADLINE_S)
        return GrvtTradeLane(caller, self._clock, self._signer, instrument, self._account(instrument))

    def query_lane(self, instrument: Instrument) -> QueryLane:
        caller, market_data = self._trades(QUERY_DEADLINE_S), self._market_data()
        return GrvtQueryLane(caller, market_data, self._clock, instrument, self._account(instrument), QUERY_DEADLINE_S)

    def market_stream(self, instrument: Instrument) -> Stream:
        return StreamLoop(GrvtMarketSession(instrument.symbol, self._env.market_data_ws))

    def account_stream(self, instrument: Instrument) -> Stream:
        return StreamLoop(GrvtTradingSession(self._account(instrument), self._env.trades_ws, self._auth))

    def _account(self, instrument: Instrument) -> Account:
        return Account(self._sub_account_id, instrument.symbol, instrument.quote)

    def _trades(self, deadline_s: float) -> Caller:
        return Caller(RestClient(self._env.trades, total_deadline_s=deadline_s), self._auth, self._clock, deadline_s)

    def _market_data(self) -> Caller:
        rest = RestClient(self._env.market_data, total_deadline_s=QUERY_DEADLINE_S)
        return Caller(rest, None, self._clock, QUERY_DEADLINE_S)


def open_venue(config: VenueConfig, credentials: Mapping[str, str]) -> Venue:
    """The venue of the configured environment; ``GRVT_ENVIRONMENT`` among the credentials overrides it, but does not make a test one real.

    Sends nothing. Raises VenueRefused for a missing or malformed credential, an unknown endpoint or limit.
    """
    missing = [name for name in CREDENTIALS if not credentials.get(name, "").strip()]
    if missing:
        raise VenueRefused(f"grvt: missing credential {', '.join(missing)}")
    api_key, private_key, sub_account_id = (credentials[name].strip() for name in CREDENTIALS)
    if not (sub_account_id.isascii() and sub_account_id.isdigit() and int(sub_account_id) < 2**64):
        raise VenueRefused("grvt: GRVT_TRADING_ACCOUNT_ID is not a trading account id (a number)")
    named = credentials.get("GRVT_ENVIRONMENT", "").strip()
    if named == "prod" and config.environment == "testnet":
        raise VenueRefused(
            "grvt: GRVT_ENVIRONMENT is prod, venues.grvt.environment testnet; accepted: the same in both, or one of them"
        )
    env = environment(named or config.environment, config.endpoints)
    try:
        signer = OrderSigner(private_key, env.chain_id)
    except ValueError as error:
        raise VenueRefused(f"grvt: GRVT_PRIVATE_KEY: {error}") from None
    return GrvtVenue(env, limits(config.limits), api_key, signer, str(int(sub_account_id)))
