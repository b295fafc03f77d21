"""The running process as one object: exchanges, faces on their ports, and the markets around them.

Must never decide what a venue answers (the faces do) or when something goes wrong (the nemesis does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeAlias

from simulator.apex import ApexFace, ApexLimits, ApexTimes
from simulator.backpack import BackpackFace, BackpackLimits
from simulator.clock import Clock, Delays, RealClock
from simulator.exchange import Exchange
from simulator.faults import Nemesis
from simulator.grvt import GrvtFace
from simulator.listing import (
    ACCOUNTS,
    APEX,
    BACKPACK,
    BOT_CREDENTIALS,
    DEFAULT_VENUES,
    FACE_CREDENTIALS,
    FEES,
    GRVT,
    INSTRUMENTS,
    PRICES,
    REAL_APEX_TIMES,
)
from simulator.market import MarketMaker, MarketProfile
from simulator.net import Drop, HttpHandler, HttpReply, HttpRequest, HttpServer, WsFace, WsPeer, WsServer, serve_http, serve_ws
from simulator.stopwatch import ExitStopwatch, HedgeStopwatch, Stopwatch, TimedSocket

ChannelName: TypeAlias = Literal["market", "account"]
CHANNELS: tuple[ChannelName, ...] = ("market", "account")
Face: TypeAlias = GrvtFace | BackpackFace | ApexFace


class SharedSocket:
    """One port for public and private streams: a peer counts as "account" from its first private subscription on, or by a path
    that says so."""

    def __init__(self, face: WsFace) -> None:
        self._face = face
        self.refused: set[ChannelName] = set()

    def opened(self, peer: WsPeer) -> None:
        if peer.path.startswith("/realtime_"):
            peer.tag["channel"] = "account" if peer.path.startswith("/realtime_private") else "market"
        self._face.opened(peer)

    def received(self, peer: WsPeer, text: str) -> None:
        if "channel" not in peer.tag or '"account.' in text:
            peer.tag["channel"] = "account" if '"account.' in text else "market"
        if peer.tag["channel"] in self.refused:
            peer.abort()
        else:
            self._face.received(peer, text)

    def closed(self, peer: WsPeer) -> None:
        self._face.closed(peer)


class VenueSite:
    """One venue on its ports. ``shared``: set where one socket port carries both channels."""

    def __init__(self, name: str, exchange: Exchange, face: Face, stopwatch: Stopwatch, clock: Clock) -> None:
        self.name = name
        self.account = ACCOUNTS[name]
        self.exchange = exchange
        self.face = face
        self._stopwatch = stopwatch
        self._clock = clock
        self.requests: Counter[tuple[str, str]] = Counter()
        """How often each route ("POST /path") was answered how (a status, or the way the connection was dropped)."""
        self.shared: SharedSocket | None = None
        self.rest: HttpServer
        self.sockets: dict[ChannelName, WsServer]

    async def open(self) -> None:
        self.rest = await serve_http(self._counted(self.face.rest), wall_s=self._clock.now)
        if isinstance(self.face, GrvtFace):
            trading = TimedSocket(self.face.trading, self._stopwatch)
            self.sockets = {"market": await serve_ws(self.face.market), "account": await serve_ws(trading)}
        else:
            self.shared = SharedSocket(TimedSocket(self.face.ws, self._stopwatch))
            server = await serve_ws(self.shared, ping_interval=60 if isinstance(self.face, BackpackFace) else None)
            self.sockets = {"market": server, "account": server}

    def close(self) -> None:
        self.rest.close()
        for server in set(self.sockets.values()):
            server.close()

    def peers(self, channel: ChannelName) -> list[WsPeer]:
        return [peer for peer in self.sockets[channel].peers.values() if peer.tag.get("channel", channel) == channel]

    async def refuse(self, channel: Literal["rest", "market", "account"], is_on: bool) -> None:
        """On: nothing gets through and what is open is reset. A shared socket lets in and resets at the first word."""
        if channel == "rest":
            await self.rest.refuse(is_on)
        elif self.shared is None:
            await self.sockets[channel].refuse(is_on)
        elif is_on:
            self.shared.refused.add(channel)
            for peer in self.peers(channel):
                peer.abort()
        else:
            self.shared.refused.discard(channel)

    def endpoints(self) -> dict[str, str]:
        """By the names the adapter of that venue accepts in its configuration."""
        rest = f"http://127.0.0.1:{self.rest.port}"
        market, account = (f"ws://127.0.0.1:{self.sockets[channel].port}" for channel in CHANNELS)
        if self.shared is not None:
            return {"rest": rest, "ws": market}
        sockets = {"trades_ws": f"{account}/ws/full", "market_data_ws": f"{market}/ws/full"}
        return {"edge": rest, "trades": rest, "market_data": rest, **sockets}

    def _counted(self, handler: HttpHandler) -> HttpHandler:
        async def count(request: HttpRequest) -> HttpReply | Drop:
            self._stopwatch.request_arrived(request)
            route = f"{request.method} {request.path}"
            self.requests[route, "asked"] += 1
            reply = await handler(request)
            self.requests[route, reply.value if isinstance(reply, Drop) else str(reply.status)] += 1
            return reply

        return count


class Site:
    """The venues asked for, one nemesis, one market per asset; the first venue has the primary book (``MarketMaker``)."""

    def __init__(
        self,
        profile: MarketProfile,
        seed: int,
        clock: RealClock,
        delays: Mapping[str, Delays],
        venues: Sequence[str] = DEFAULT_VENUES,
    ) -> None:
        self.clock = clock
        self.nemesis = Nemesis(seed)
        self.hedges = HedgeStopwatch()
        self.exits = ExitStopwatch()
        self._profile = profile
        self._delays = delays
        exchanges = {name: Exchange(name, INSTRUMENTS[name], FEES[name]) for name in venues}
        for exchange in exchanges.values():
            exchange.advance(clock.now())
        self.markets = {
            base: MarketMaker(profile, seed, _listed(exchanges, base), clock, price=price) for base, price in PRICES.items()
        }
        self.venues = {
            name: VenueSite(name, exchange, self._face(name, exchange), self.exits if name == APEX else self.hedges, clock)
            for name, exchange in exchanges.items()
        }

    def _face(self, name: str, exchange: Exchange) -> Face:
        clock, nemesis, delays, credentials = self.clock, self.nemesis, self._delays[name], FACE_CREDENTIALS[name]
        if name == GRVT:
            grvt = GrvtFace(exchange, clock, nemesis, delays=delays, credentials=credentials)
            grvt.mover = partial(self._drift_to, name)
            return grvt
        if name == BACKPACK:
            limits = BackpackLimits(conflate_s=self._profile.conflate_s)
            return BackpackFace(exchange, clock, nemesis, delays=delays, limits=limits, credentials=credentials)
        times = REAL_APEX_TIMES if delays != Delays() else ApexTimes()
        apex_limits = ApexLimits(conflate_s=2 * self._profile.conflate_s, times=times)
        apex = ApexFace(exchange, clock, nemesis, delays=delays, limits=apex_limits, credentials=credentials)
        apex.mover = partial(self._drift_to, name)
        return apex

    def _drift_to(self, venue: str, symbol: str, price: Decimal) -> None:
        """The market of a symbol of that venue moves to that price, on every venue."""
        market = next(self.markets[each.base] for each in INSTRUMENTS[venue] if each.symbol == symbol)
        market.drift((price / market.mid - 1) * 10_000)

    async def open(self) -> None:
        for venue in self.venues.values():
            await venue.open()
        for market in self.markets.values():
            market.start()

    def close(self) -> None:
        for venue in self.venues.values():
            venue.close()

    def ledger(self) -> dict[str, Any]:
        """By venue (``ledger_of``)."""
        return {name: venue.exchange.ledger() for name, venue in self.venues.items()}

    def directory(self) -> dict[str, Any]:
        """Endpoints by venue, and the credentials a bot needs for them."""
        accounts = {name: dict(BOT_CREDENTIALS[name]) for name in self.venues}
        return {**{name: venue.endpoints() for name, venue in self.venues.items()}, "accounts": accounts}


def _listed(exchanges: Mapping[str, Exchange], base: str) -> dict[str, tuple[Exchange, str]]:
    """The symbol of that asset on each exchange."""
    found = {}
    for name, exchange in exchanges.items():
        symbol = next(symbol for symbol, instrument in exchange.instruments.items() if instrument.base == base)
        found[name] = (exchange, symbol)
    return found
