"""ApeX Omni, assembled: ``open_venue`` turns a config section and four credentials into the lanes and streams of ``core.ports.Venue``.

It opens no connection by itself, imports nothing of apexomni (adapters/apex/zk.py loads its native part with the first order), and never
keeps a credential outside the two signers.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.apex.api import AccountCache, Api
from adapters.apex.client import CAPABILITIES, ApexQueryLane, ApexTradeLane
from adapters.apex.clock import VenueClock
from adapters.apex.setup import ApexSetup
from adapters.apex.signer import ApiKey
from adapters.apex.stream import ApexAccountSession, ApexMarketSession
from adapters.apex.values import VENUE
from adapters.apex.zk import ZkSigner
from adapters.settings import endpoints_of, limits_of
from adapters.transport.rest import RestClient
from adapters.transport.stream import StreamLoop
from core.config import VenueConfig
from core.instrument import Instrument
from core.ports import Capabilities, QueryLane, Stream, TradeLane, VenueRefused, VenueSetup

__all__ = ["CREDENTIALS", "DEFAULT_LIMITS", "ENDPOINTS", "ApexVenue", "open_venue"]

CREDENTIALS = ("APEX_API_KEY", "APEX_API_KEY_SECRET", "APEX_API_KEY_PASSPHRASE", "APEX_OMNI_KEY_SEED")

ENDPOINTS: Mapping[str, Mapping[str, str]] = {
    "prod": {"rest": "https://omni.apex.exchange", "ws": "wss://quote.omni.apex.exchange"},
    "testnet": {"rest": "https://testnet.omni.apex.exchange", "ws": "wss://qa-quote.omni.apex.exchange"},
}
"""By environment; a config may override both keys (apex.md §1.1). ``/api``, ``/realtime_public`` and ``/realtime_private`` are appended."""

DEFAULT_LIMITS: Mapping[str, float] = {"create": 2.0, "cancel": 2.0, "query": 1.5, "other": 4.0, "ip": 6.0}
"""Requests per second, of which ``CAPABILITIES.burst_s`` seconds' worth may leave at once: a bucket of 15 s lets 75 times its rate through in
a minute. The published 300 POST a minute of an account are shared by create and cancel, its 600 GET by query (one order; one that is not
found asks the history too and costs two) and other reads, the 600 of an address by all of them and by the set-up (apex.md §4)."""

TRADE_DEADLINE_S = 3.0
QUERY_DEADLINE_S = 5.0


class ApexVenue:
    """Implements ``core.ports.Venue``. Each lane has a connection of its own; clock, account and keys are shared."""

    name = VENUE
    setup: VenueSetup

    def __init__(self, rest_url: str, ws_url: str, key: ApiKey, signer: ZkSigner, limits: Mapping[str, float]) -> None:
        self.limits = limits
        self._rest_url = rest_url
        self._ws_url = ws_url
        self._key = key
        self._signer = signer
        self._clock = VenueClock()
        self._accounts = AccountCache()
        self.setup = ApexSetup(self._api(QUERY_DEADLINE_S))

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES._replace(submit_bound_s=self._clock.submit_bound_s)

    def _api(self, deadline_s: float) -> Api:
        rest = RestClient(self._rest_url, total_deadline_s=deadline_s)
        return Api(rest, self._key, self._clock, self._accounts, deadline_s=deadline_s)

    def clock_offset_ms(self) -> float:
        return self._clock.offset_ms

    def trade_lane(self, instrument: Instrument) -> TradeLane:
        return ApexTradeLane(self._api(TRADE_DEADLINE_S), instrument, self._signer)

    def query_lane(self, instrument: Instrument) -> QueryLane:
        return ApexQueryLane(self._api(QUERY_DEADLINE_S), instrument)

    def market_stream(self, instrument: Instrument) -> Stream:
        return StreamLoop(ApexMarketSession(self._ws_url, instrument, self._clock))

    def account_stream(self, instrument: Instrument) -> Stream:
        return StreamLoop(ApexAccountSession(self._ws_url, instrument.symbol, self._key, self._clock))


def open_venue(config: VenueConfig, credentials: Mapping[str, str]) -> ApexVenue:
    """Check the section and the credentials; raises VenueRefused naming what is missing or not accepted, never its value."""
    endpoints = endpoints_of(VENUE, config.endpoints, ENDPOINTS[config.environment])
    limits = limits_of(VENUE, config.limits, DEFAULT_LIMITS)
    missing = [name for name in CREDENTIALS if not credentials.get(name, "").strip()]
    if missing:
        raise VenueRefused(f"apex: missing credential {', '.join(missing)}")
    key, secret, passphrase, seed = (credentials[name].strip() for name in CREDENTIALS)
    if not (key.isascii() and key.isprintable() and passphrase.isascii() and passphrase.isprintable()):
        raise VenueRefused("apex: APEX_API_KEY and APEX_API_KEY_PASSPHRASE; accepted: printable ASCII, they travel in headers")
    return ApexVenue(endpoints["rest"], endpoints["ws"], ApiKey(key, secret, passphrase), ZkSigner(seed), limits)
