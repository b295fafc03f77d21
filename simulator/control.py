"""The control port: what a test or an operator may do to the running venues, in JSON over HTTP on loopback.

Must never be part of a venue's face: a bot does not know it exists.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from core.types import Side
from simulator.apex import ApexFace
from simulator.backpack import BackpackFace
from simulator.exchange import ExchangeRefused
from simulator.grvt import GrvtFace
from simulator.ledger import plain
from simulator.net import Drop, HttpReply, HttpRequest
from simulator.site import CHANNELS, ChannelName, Site, VenueSite

Json: TypeAlias = dict[str, Any]
Endpoint: TypeAlias = Callable[[HttpRequest], Awaitable[Json]]
BodyT = TypeVar("BodyT")


class Misused(Exception):
    """The request makes no sense; one line for whoever sent it."""


class Kick(msgspec.Struct, forbid_unknown_fields=True):
    """Ends the connections of a channel: a closing handshake with ``code``, or a reset."""

    venue: str
    channel: Literal["market", "account", "*"] = "*"
    how: Literal["close", "abort"] = "abort"
    code: int = 1001


class ClockStep(msgspec.Struct, forbid_unknown_fields=True):
    """All venues at once, as they look to a bot whose own clock was set."""

    step_s: float


class Refuse(msgspec.Struct, forbid_unknown_fields=True):
    venue: str
    channel: Literal["rest", "market", "account"]
    is_on: bool


class HandOrder(msgspec.Struct, forbid_unknown_fields=True):
    """An order the bot knows nothing of; ``price`` None: at market, ``account`` None: in the bot's own account."""

    venue: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None = None
    account: str | None = None
    tif: Literal["GTC", "IOC"] = "GTC"
    post_only: bool = False
    reduce_only: bool = False
    client_id: str = ""


class MarketChange(msgspec.Struct, forbid_unknown_fields=True):
    """``remove_liquidity``: a venue, or null to bring the house back; ``base`` None: all assets; what is absent stays as it is."""

    base: str | None = None
    drift_bps: Decimal | None = None
    freeze: bool | None = None
    remove_liquidity: str | msgspec.UnsetType | None = msgspec.UNSET


class Trick(msgspec.Struct, forbid_unknown_fields=True):
    """Something only this venue can do: grvt ``expire_cookies`` (``is_on``: open sockets too), ``skip_sequence`` (``stream``, ``count``),
    ``restart_gateway``, ``maintenance``, ``ignores_pairs`` (``is_on``), ``instrument_status`` (``symbol``, ``status``),
    ``cancel_by_user`` (``client_id``), ``force_price`` (as ApeX's); backpack ``gap`` (``symbol``),
    ``margin_short`` (``is_on``), ``slow_cancels`` (``delay_s``, null = at once); apex ``gap`` (``symbol``), ``margin_short``,
    ``cancels_sibling``, ``ignores_reduce_only``, ``garbled_cancels`` (``is_on``), ``failing_fills`` (``status``, "" = none),
    ``history_frame`` (``status``: snapshot, delta or ""), ``force_price`` (``symbol``, ``price``: within the house's basis of it),
    ``cancel_by_user``, ``cancel_by_venue`` and ``expire`` (``order_id``), ``window`` (``delay_s``: the age of a request that is refused)."""

    venue: str
    name: str
    is_on: bool = True
    stream: str = ""
    symbol: str = ""
    status: str = ""
    count: int = 1
    delay_s: float | None = None
    price: Decimal | None = None
    order_id: int = 0
    client_id: str = ""


class Control:
    """``handle`` serves the port. Errors are 400 with ``{"error": text}``; everything else is 200 with an object."""

    def __init__(self, site: Site, ledger_path: Path | None) -> None:
        self._site = site
        self._ledger_path = ledger_path
        self._endpoints: Mapping[tuple[str, str], Endpoint] = {
            ("GET", "/health"): self._health,
            ("GET", "/ledger"): self._ledger,
            ("GET", "/orders"): self._orders,
            ("GET", "/requests"): self._requests,
            ("GET", "/hedge-latency"): self._hedge_latency,
            ("GET", "/exit-latency"): self._exit_latency,
            ("POST", "/fault"): self._fault,
            ("POST", "/fault/clear"): self._clear,
            ("POST", "/kick"): self._kick,
            ("POST", "/refuse"): self._refuse,
            ("POST", "/order"): self._order,
            ("POST", "/market"): self._market,
            ("POST", "/trick"): self._trick,
            ("POST", "/clock"): self._clock,
        }

    async def handle(self, request: HttpRequest) -> HttpReply | Drop:
        endpoint = self._endpoints.get((request.method, request.path))
        if endpoint is None:
            known = ", ".join(f"{method} {path}" for method, path in self._endpoints)
            return _reply(404, {"error": f"no such endpoint; there are: {known}"})
        try:
            return _reply(200, await endpoint(request))
        except (Misused, ExchangeRefused, ValueError, msgspec.MsgspecError) as error:
            return _reply(400, {"error": str(error)})

    def write_ledger(self) -> Json:
        """The ledger, also written to its file in one piece where there is one."""
        ledger = self._site.ledger()
        if self._ledger_path is not None:
            draft = self._ledger_path.with_name(f"{self._ledger_path.name}.part")
            draft.write_text(json.dumps(ledger, indent=1))
            os.replace(draft, self._ledger_path)
        return ledger

    async def _health(self, request: HttpRequest) -> Json:
        mids = {base: str(market.mid) for base, market in self._site.markets.items()}
        peers = {name: {channel: len(venue.peers(channel)) for channel in CHANNELS} for name, venue in self._site.venues.items()}
        return {"status": "ok", "now": self._site.clock.now(), "mids": mids, "peers": peers}

    async def _ledger(self, request: HttpRequest) -> Json:
        return self.write_ledger()

    async def _orders(self, request: HttpRequest) -> Json:
        """The open orders of the bot's accounts, those that wait for their trigger last."""
        return {
            name: [plain(order) for order in venue.exchange.open_orders(venue.account)] + _waiting(venue)
            for name, venue in self._site.venues.items()
        }

    async def _requests(self, request: HttpRequest) -> Json:
        """``{venue: {"POST /path": {"asked": n, "200": n, "reset": n, ...}}}``."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for name, venue in self._site.venues.items():
            routes = found[name] = {}
            for (route, outcome), count in venue.requests.items():
                routes.setdefault(route, {})[outcome] = count
        return found

    async def _hedge_latency(self, request: HttpRequest) -> Json:
        """``HedgeStopwatch.report``: GRVT maker fills against the Backpack orders that followed them."""
        return self._site.hedges.report()

    async def _exit_latency(self, request: HttpRequest) -> Json:
        """``ExitStopwatch.report``: ApeX take-profits against the cancels of their stops."""
        return self._site.exits.report()

    async def _fault(self, request: HttpRequest) -> Json:
        rule = _body(request, dict[str, Any])
        if rule.get("venue", "*") != "*":
            self._venue(str(rule["venue"]))
        self._site.nemesis.add(rule)
        return {}

    async def _clear(self, request: HttpRequest) -> Json:
        self._site.nemesis.clear()
        return {}

    async def _kick(self, request: HttpRequest) -> Json:
        kick = _body(request, Kick)
        venue = self._venue(kick.venue)
        channels: tuple[ChannelName, ...] = CHANNELS if kick.channel == "*" else (kick.channel,)
        peers = {id(peer): peer for channel in channels for peer in venue.peers(channel)}
        for peer in peers.values():
            if kick.how == "close":
                peer.close(kick.code)
            else:
                peer.abort()
        return {"kicked": len(peers)}

    async def _refuse(self, request: HttpRequest) -> Json:
        refuse = _body(request, Refuse)
        await self._venue(refuse.venue).refuse(refuse.channel, refuse.is_on)
        return {}

    async def _order(self, request: HttpRequest) -> Json:
        order = _body(request, HandOrder)
        venue = self._venue(order.venue)
        venue.exchange.advance(self._site.clock.now())
        placed = venue.exchange.place(
            order.account or venue.account,
            order.symbol,
            order.side,
            order.quantity,
            order.price,
            tif=order.tif,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            client_id=order.client_id,
        )
        return plain(placed)

    async def _market(self, request: HttpRequest) -> Json:
        change = _body(request, MarketChange)
        if change.base is not None and change.base not in self._site.markets:
            raise Misused(f"base {change.base!r}; there are: {', '.join(self._site.markets)}")
        if change.remove_liquidity:
            self._venue(str(change.remove_liquidity))
        for base, market in self._site.markets.items():
            if change.base not in (None, base):
                continue
            if change.freeze is not None:
                market.freeze(change.freeze)
            if change.drift_bps is not None:
                market.drift(change.drift_bps)
            if not isinstance(change.remove_liquidity, msgspec.UnsetType):
                market.remove_liquidity(change.remove_liquidity)
        return {"mids": {base: str(market.mid) for base, market in self._site.markets.items()}}

    async def _trick(self, request: HttpRequest) -> Json:
        trick = _body(request, Trick)
        match self._venue(trick.venue).face:
            case GrvtFace() as face:
                is_known = _grvt_trick(face, trick)
            case BackpackFace() as face:
                is_known = _backpack_trick(face, trick)
            case ApexFace() as face:
                is_known = _apex_trick(face, trick) or _apex_switch(face, trick)
        if not is_known:
            raise Misused(f"{trick.venue} knows no trick {trick.name!r}")
        return {}

    async def _clock(self, request: HttpRequest) -> Json:
        self._site.clock.step(_body(request, ClockStep).step_s)
        return {"now": self._site.clock.now()}

    def _venue(self, name: str) -> VenueSite:
        venue = self._site.venues.get(name)
        if venue is None:
            raise Misused(f"venue {name!r}; there are: {', '.join(self._site.venues)}")
        return venue


def _waiting(venue: VenueSite) -> list[Json]:
    """Under the names of ``plain``; the id is the venue's own, which no order of the exchange has."""
    if not isinstance(venue.face, ApexFace):
        return []
    return [
        {
            "order_id": order.order_id,
            "client_id": order.client_id,
            "symbol": order.symbol,
            "side": order.side.value,
            "quantity": f"{order.size:f}",
            "trigger_price": f"{order.trigger_price:f}",
            "status": order.status,
        }
        for order in venue.face.waiting()
    ]


def _grvt_trick(face: GrvtFace, trick: Trick) -> bool:
    match trick.name:
        case "expire_cookies":
            face.expire_cookies(open_sockets_too=trick.is_on)
        case "skip_sequence":
            face.skip_sequence(trick.stream, trick.count)
        case "restart_gateway":
            face.restart_gateway()
        case "maintenance":
            face.set_maintenance(is_on=trick.is_on)
        case "ignores_pairs":
            face.set_ignores_pairs(is_on=trick.is_on)
        case "cancel_by_user":
            face.cancel_by_user(trick.client_id)
        case "force_price" if trick.price is not None:
            face.force_price(trick.symbol, trick.price)
        case "instrument_status":
            face.set_instrument_status(trick.symbol, trick.status)
        case _:
            return False
    return True


def _backpack_trick(face: BackpackFace, trick: Trick) -> bool:
    match trick.name:
        case "gap":
            face.inject_gap(trick.symbol)
        case "margin_short":
            face.switches.is_margin_short = trick.is_on
        case "slow_cancels":
            face.switches.cancel_delay_s = trick.delay_s
        case _:
            return False
    return True


def _apex_trick(face: ApexFace, trick: Trick) -> bool:
    try:
        match trick.name:
            case "gap":
                face.inject_gap(trick.symbol)
            case "force_price" if trick.price is not None:
                face.force_price(trick.symbol, trick.price)
            case "cancel_by_user":
                face.cancel_by_user(trick.order_id)
            case "cancel_by_venue":
                face.cancel_by_venue(trick.order_id)
            case "expire":
                face.expire(trick.order_id)
            case "window" if trick.delay_s is not None:
                face.set_window(trick.delay_s)
            case _:
                return False
    except KeyError as error:
        raise Misused(f"apex knows no {error}") from error
    return True


def _apex_switch(face: ApexFace, trick: Trick) -> bool:
    switches = face.switches
    match trick.name, trick.status:
        case "margin_short", _:
            switches.is_margin_short = trick.is_on
        case "cancels_sibling", _:
            switches.cancels_sibling = trick.is_on
        case "ignores_reduce_only", _:
            switches.ignores_reduce_only = trick.is_on
        case "garbled_cancels", _:
            switches.is_cancel_of_filled_garbled = trick.is_on
        case "failing_fills", ("" | "FAILED_CENSOR_FAILURE" | "FAILED_L2_REJECTED") as status:
            switches.failing_fills = status
        case "history_frame", ("" | "snapshot" | "delta") as kind:
            switches.history_frame = kind
        case _:
            return False
    return True


def _body(request: HttpRequest, kind: type[BodyT]) -> BodyT:
    return msgspec.json.decode(request.body or b"{}", type=kind)


def _reply(status: int, body: Json) -> HttpReply:
    return HttpReply(status, json.dumps(body).encode())
