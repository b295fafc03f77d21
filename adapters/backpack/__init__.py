"""Backpack, assembled: ``open_venue`` turns a config section and two credentials into the lanes and streams of ``core.ports.Venue``.

It opens no connection by itself and never keeps a credential outside the signer.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.backpack import parse, requests
from adapters.backpack.api import Api, ReadFailed
from adapters.backpack.client import CAPABILITIES, BackpackQueryLane, BackpackTradeLane, SubmitTimes
from adapters.backpack.clock import VenueClock
from adapters.backpack.parse import DepthSnapshot
from adapters.backpack.setup import BackpackSetup
from adapters.backpack.signer import PUBLIC_KEY, SECRET_KEY, Signer
from adapters.backpack.stream import BackpackAccountSession, BackpackMarketSession
from adapters.backpack.values import VENUE
from adapters.settings import endpoints_of, limits_of
from adapters.transport.rest import RestClient
from adapters.transport.stream import StreamLoop
from core.config import VenueConfig
from core.instrument import Instrument
from core.ports import QueryLane, Stream, TradeLane, VenueRefused, VenueSetup

__all__ = ["DEFAULT_ENDPOINTS", "DEFAULT_LIMITS", "BackpackVenue", "open_venue"]

DEFAULT_ENDPOINTS: Mapping[str, str] = {"rest": "https://api.backpack.exchange", "ws": "wss://ws.backpack.exchange"}
"""Endpoint keys that a config may override (backpack.md §1); there is no test network."""

DEFAULT_LIMITS: Mapping[str, float] = {"rest": 16.0}
"""Requests per second by class: half of the 2000 a minute that one sub-account has for all its REST (backpack.md §5).

The 30 a minute for historical market data do not matter here: this adapter reads none.
"""

TRADE_DEADLINE_S = 2.0
QUERY_DEADLINE_S = 5.0
SNAPSHOT_DEADLINE_S = 2.0


class BackpackVenue:
    """Implements ``core.ports.Venue``. Each lane has a connection of its own; clock and submit times are shared."""

    name = VENUE
    capabilities = CAPABILITIES
    setup: VenueSetup

    def __init__(self, rest_url: str, ws_url: str, signer: Signer, limits: Mapping[str, float]) -> None:
        self._rest_url = rest_url
        self._ws_url = ws_url
        self._signer = signer
        self._clock = VenueClock()
        self._submits = SubmitTimes()
        self.limits = limits
        self.setup = BackpackSetup(self._api(QUERY_DEADLINE_S))

    def _api(self, deadline_s: float) -> Api:
        rest = RestClient(self._rest_url, total_deadline_s=deadline_s)
        return Api(rest, self._signer, self._clock, deadline_s=deadline_s)

    def clock_offset_ms(self) -> float:
        return self._clock.offset_ms

    def trade_lane(self, instrument: Instrument) -> TradeLane:
        return BackpackTradeLane(self._api(TRADE_DEADLINE_S), self._submits)

    def query_lane(self, instrument: Instrument) -> QueryLane:
        return BackpackQueryLane(self._api(QUERY_DEADLINE_S), self._submits)

    def market_stream(self, instrument: Instrument) -> Stream:
        symbol = instrument.symbol
        return StreamLoop(BackpackMarketSession(self._ws_url, symbol, lambda: self._snapshot(symbol)))

    def account_stream(self, instrument: Instrument) -> Stream:
        return StreamLoop(BackpackAccountSession(self._ws_url, instrument.symbol, self._signer, self._clock))

    def _snapshot(self, symbol: str) -> DepthSnapshot | None:
        """Read on the stream's own thread over a connection of its own: rare, so nothing is kept open for it."""
        api = self._api(SNAPSHOT_DEADLINE_S)
        try:
            snapshot = api.read(requests.depth(symbol), parse.parse_depth, api.deadline())
        finally:
            api.close()
        return None if isinstance(snapshot, ReadFailed) else snapshot


def open_venue(config: VenueConfig, credentials: Mapping[str, str]) -> BackpackVenue:
    """Check the section and the credentials; raises VenueRefused naming what is missing or not accepted, never its value."""
    endpoints = endpoints_of(VENUE, config.endpoints, DEFAULT_ENDPOINTS)
    if config.environment != "prod" and set(config.endpoints) != set(DEFAULT_ENDPOINTS):
        raise VenueRefused("backpack: it has no test network; accepted: environment = prod, or endpoints for both rest and ws")
    missing = [name for name in (PUBLIC_KEY, SECRET_KEY) if not credentials.get(name)]
    if missing:
        raise VenueRefused(f"backpack: missing credential {', '.join(missing)}")
    signer = Signer(credentials[PUBLIC_KEY], credentials[SECRET_KEY])
    return BackpackVenue(endpoints["rest"], endpoints["ws"], signer, limits_of(VENUE, config.limits, DEFAULT_LIMITS))
