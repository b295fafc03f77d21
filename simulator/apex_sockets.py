"""The WebSocket faces of ApeX: public topics and the private account stream, with the venue's own JSON pings (apex.md §2, §3).

Must never touch the exchange: they tell what happened. One port serves both, told apart by path.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Literal

from simulator.apex_account import ApexAccount, ApexFill, PositionRow
from simulator.apex_auth import KeyVerifier, decode_object
from simulator.apex_desk import ApexDesk, ApexSwitches
from simulator.apex_feeds import PublicFeeds
from simulator.apex_market import MarketView
from simulator.apex_orders import ApexOrder
from simulator.apex_past import last_ended
from simulator.apex_wire import Json, account_frame, contents_of, json_text, millis, order_news, position_news, wallet_news
from simulator.clock import Clock, Delays
from simulator.faults import Nemesis
from simulator.net import WsPeer

VENUE = "apex"
PUBLIC_PATH = "/realtime_public"
PRIVATE_PATH = "/realtime_private"
ACCOUNT_TOPIC = "ws_zk_accounts_v3"
FIRST_PING_S = 7.0
PING_INTERVAL_S = 15.0
STAMP_AGE_MAX_S = 150.0
HISTORY_AFTER_S = 0.267
"""How long after the snapshot the past orders arrive, as captured (apex.md §0.2)."""
CONTROL = "control"
"""The lane of acknowledgements and pings."""
_NO_REQUEST: Json = {"op": "", "args": None}


class Session:
    """One connection; frames of one lane leave in the order given, however they are delayed."""

    def __init__(self, peer: WsPeer, clock: Clock) -> None:
        self.peer = peer
        self.conn_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"apex-{peer.id}"))
        self.topics: set[str] = set()
        self.is_logged_in = False
        self.is_closed = False
        self.stamped_at = clock.now()
        self._clock = clock
        self._lanes: dict[str, deque[tuple[float, str]]] = {}

    def send(self, lane: str, text: str, delay_s: float) -> None:
        if self.is_closed:
            return
        queue = self._lanes.setdefault(lane, deque())
        now = self._clock.now()
        due = max(now + delay_s, queue[-1][0] if queue else now)
        if due <= now and not queue:
            self.peer.send(text)
            return
        queue.append((due, text))
        self._clock.call_later(due - now, partial(self._release, queue))

    def _release(self, queue: deque[tuple[float, str]]) -> None:
        _, text = queue.popleft()
        if not self.is_closed:
            self.peer.send(text)


class ApexSocket:
    """What both faces share: pings both ways, the 150 second rule, acknowledgements, delays and faults."""

    def __init__(self, clock: Clock, nemesis: Nemesis, delays: Delays, channel: Literal["market", "account"]) -> None:
        self._clock = clock
        self._nemesis = nemesis
        self._delays = delays
        self._channel: Literal["market", "account"] = channel
        self.sessions: dict[int, Session] = {}

    def opened(self, peer: WsPeer) -> None:
        session = self.sessions[peer.id] = Session(peer, self._clock)
        self._clock.call_later(FIRST_PING_S, partial(self._ping, session))

    def received(self, peer: WsPeer, text: str) -> None:
        session = self.sessions.get(peer.id)
        if session is None:
            return
        if self._delays.request_s <= 0:
            self._handle(session, text)
        else:
            self._clock.call_later(self._delays.request_s, partial(self._handle, session, text))

    def closed(self, peer: WsPeer) -> None:
        session = self.sessions.pop(peer.id, None)
        if session is not None:
            session.is_closed = True

    def _ping(self, session: Session) -> None:
        """A client that has shown no stamp for too long is dropped; the others are asked for one."""
        if session.is_closed:
            return
        now = self._clock.now()
        if now - session.stamped_at > STAMP_AGE_MAX_S:
            session.peer.close(1001, "no heartbeat")
            return
        self._deliver(session, CONTROL, {"op": "ping", "args": [str(millis(now))]}, self._delays.stream_s)
        self._clock.call_later(PING_INTERVAL_S, partial(self._ping, session))

    def _handle(self, session: Session, text: str) -> None:
        frame = decode_object(text)
        op = frame.get("op") if frame is not None else None
        if frame is None or session.is_closed:
            self._acknowledge(session, _NO_REQUEST, "error:invalid op")
            return
        args = frame.get("args")
        names = [str(name) for name in args] if isinstance(args, list) else []
        request: Json = {"op": op, "args": args}
        match op:
            case "pong":
                session.stamped_at = self._clock.now()
            case "ping":
                session.stamped_at = self._clock.now()
                answer = {"success": True, "ret_msg": "pong", "conn_id": session.conn_id, "request": request}
                self._deliver(session, CONTROL, answer, self._delays.answer_s)
            case "subscribe" if names:
                self.subscribe(session, request, names)
            case "unsubscribe" if names:
                session.topics.difference_update(names)
                self._acknowledge(session, request)
            case "login":
                self.login(session, request, names)
            case _:
                self._acknowledge(session, _NO_REQUEST, "error:invalid op")

    def subscribe(self, session: Session, request: Json, topics: list[str]) -> None:
        """Overridden by each face."""
        raise NotImplementedError

    def login(self, session: Session, request: Json, args: list[str]) -> None:
        """Only the private face knows it."""
        self._acknowledge(session, _NO_REQUEST, "error:invalid op")

    def _acknowledge(self, session: Session, request: Json, failure: str = "") -> None:
        body: Json = {"success": not failure, "ret_msg": failure, "conn_id": session.conn_id, "request": request}
        session.send(CONTROL, json_text(body), self._delays.answer_s)

    def _deliver(self, session: Session, lane: str, frame: Mapping[str, object], delay_s: float) -> None:
        """Past the nemesis: everything but an acknowledgement may go wrong."""
        send: Callable[[str, float], None] = partial(session.send, lane)
        text = json_text(frame)
        fault = self._nemesis.on_frame(VENUE, self._channel)
        match fault.kind if fault else None:
            case "drop" | "silence":
                return
            case "duplicate":
                send(text, delay_s)
                send(text, delay_s)
            case "garble":
                send(text[: len(text) // 2], delay_s)
            case _:
                send(text, delay_s + (fault.delay_s if fault else 0.0))


class PublicSocket(ApexSocket):
    """``/realtime_public``."""

    def __init__(
        self,
        clock: Clock,
        nemesis: Nemesis,
        delays: Delays,
        market: MarketView,
        switches: ApexSwitches,
        *,
        conflate_s: float,
    ) -> None:
        super().__init__(clock, nemesis, delays, "market")
        self._switches = switches
        self.feeds = PublicFeeds(market, clock, self, conflate_s=conflate_s)

    def is_wanted(self, topic: str) -> bool:
        return any(topic in session.topics for session in self.sessions.values())

    def publish(self, topic: str, frame: Json) -> None:
        for session in list(self.sessions.values()):
            if topic in session.topics:
                self._deliver(session, topic, frame, self._delays.stream_s)

    def subscribe(self, session: Session, request: Json, topics: list[str]) -> None:
        """All topics or none: one that is unknown, or taken already, refuses the whole message (apex.md §2)."""
        if not all(self.feeds.is_known(topic) for topic in topics):
            self._acknowledge(session, request, "error:handler not found")
            return
        taken = next((topic for topic in topics if topic in session.topics), None)
        if taken is not None:
            self._acknowledge(session, request, f"error:topic:already subscribed {taken}")
            return
        if not self._switches.is_data_first:
            self._acknowledge(session, request)
        for topic in topics:
            self._send_first(session, topic)
        if self._switches.is_data_first:
            self._acknowledge(session, request)

    def _send_first(self, session: Session, topic: str) -> None:
        """The snapshot, made before the newcomer counts as a listener; the lane keeps later deltas behind it."""
        frame = self.feeds.first_frame(topic)
        session.topics.add(topic)
        if frame is not None:
            self._deliver(session, topic, frame, self._delays.answer_s)


class PrivateSocket(ApexSocket):
    """``/realtime_private``: everything about the account under one topic."""

    def __init__(
        self,
        clock: Clock,
        nemesis: Nemesis,
        delays: Delays,
        verifier: KeyVerifier,
        market: MarketView,
        account: ApexAccount,
        desk: ApexDesk,
        account_id: str,
    ) -> None:
        super().__init__(clock, nemesis, delays, "account")
        self._verifier = verifier
        self._market = market
        self._account = account
        self._desk = desk
        self._account_id = account_id

    def account_changed(self, orders: Iterable[ApexOrder], fills: Iterable[ApexFill], positions: Iterable[PositionRow]) -> None:
        """One delta with all of it, to whoever is logged in."""
        frame = account_frame("delta", contents_of(self._account_id, orders, fills, positions), self._clock.now())
        for session in list(self.sessions.values()):
            if ACCOUNT_TOPIC in session.topics:
                self._deliver(session, ACCOUNT_TOPIC, frame, self._delays.stream_s)

    def login(self, session: Session, request: Json, args: list[str]) -> None:
        """The topics named in the login are subscribed by it; those nobody knows are passed over (apex.md §3)."""
        login = decode_object(args[0]) if args else None
        topics = login.get("topics") if login is not None else None
        if login is None or not isinstance(topics, list):
            self._refuse(session, "msg param error")
            return
        if not self._verifier.is_login(login, self._clock.now()):
            self._refuse(session, "login authority err")
            return
        session.is_logged_in = True
        ack = self._desk.switches.login_ack
        if ack:
            success = True if ack == "boolean" else "true"
            body = {"success": success, "ret_msg": "", "conn_id": session.conn_id, "request": request}
            session.send(CONTROL, json_text(body), self._delays.answer_s)
        if ACCOUNT_TOPIC in topics:
            self._send_account(session)

    def subscribe(self, session: Session, request: Json, topics: list[str]) -> None:
        """Beside a login that named the topic this yields a second snapshot (apex.md §3)."""
        if not session.is_logged_in:
            self._refuse(session, "login authority err")
        elif topics != [ACCOUNT_TOPIC]:
            self._acknowledge(session, request, "error:handler not found")
        else:
            self._acknowledge(session, request)
            self._send_account(session)

    def _refuse(self, session: Session, reason: str) -> None:
        """These failures name no request, as documented."""
        body = {"success": False, "ret_msg": reason, "conn_id": session.conn_id}
        session.send(CONTROL, json_text(body), self._delays.answer_s)

    def _send_account(self, session: Session) -> None:
        session.topics.add(ACCOUNT_TOPIC)
        frame = account_frame("snapshot", self._snapshot(), self._clock.now())
        self._deliver(session, ACCOUNT_TOPIC, frame, self._delays.answer_s)
        if self._desk.switches.history_frame:
            self._clock.call_later(HISTORY_AFTER_S, partial(self._send_history, session))

    def _snapshot(self) -> Json:
        """Unfinished orders and the positions; what has no news in a snapshot arrives as null or empty."""
        orders, rows = self._desk.live(), self._account.rows.values()
        return {
            "contractAccounts": [{"accountId": self._account_id, "status": "NORMAL"}],
            "spotWallets": [],
            "orders": [order_news(order, self._account_id) for order in orders],
            "positions": [position_news(row, self._account_id) for row in rows],
            "contractWallets": [wallet_news(self._account.equity(self._market.marks()), self._account_id)],
            "transfers": None,
            "fills": None,
            "positionClosedTransactions": None,
        }

    def _send_history(self, session: Session) -> None:
        """The frame that makes a naive client act on the past: thirty orders that ended long ago (apex.md §0.2)."""
        kind = self._desk.switches.history_frame
        contents = contents_of(self._account_id, last_ended(self._desk.orders.values()))
        if kind and ACCOUNT_TOPIC in session.topics:
            frame = account_frame(kind, contents, self._clock.now())
            self._deliver(session, ACCOUNT_TOPIC, frame, self._delays.stream_s)


class ApexSockets:
    """Both faces on one port, by path; a connection to any other path is reset."""

    def __init__(self, public: PublicSocket, private: PrivateSocket) -> None:
        self._by_path: Mapping[str, ApexSocket] = {PUBLIC_PATH: public, PRIVATE_PATH: private}

    def opened(self, peer: WsPeer) -> None:
        face = self._face(peer)
        if face is None:
            peer.abort()
        else:
            face.opened(peer)

    def received(self, peer: WsPeer, text: str) -> None:
        face = self._face(peer)
        if face is not None:
            face.received(peer, text)

    def closed(self, peer: WsPeer) -> None:
        face = self._face(peer)
        if face is not None:
            face.closed(peer)

    def _face(self, peer: WsPeer) -> ApexSocket | None:
        return self._by_path.get(peer.path.partition("?")[0])
