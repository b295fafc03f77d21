"""``flatten``: cancel every order, close every position, verify, with the bot dead. Each closing order is an intent in the journal first.

It trusts only what the venues answer now; what it cannot read it reports as left over and never as flat. A position may be the hedge of
another: none is closed while another venue's cannot be read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from decimal import Decimal

from adapters.closing import PAUSE_S, Account, Closer, Leg, Say
from adapters.journal import SqliteJournal
from core.config import Config
from core.messages import CancelAll, FetchOpenOrders, FetchPosition, OpenOrdersFetched, PositionReported
from core.ports import Venue, VenueRefused, VenueUnreachable
from core.types import Side

TRIES = 6
EXIT_FLAT, EXIT_LEFT = 0, 3


def flatten(config: Config, venues: Sequence[Venue], open_journal: Callable[[], SqliteJournal], say: Say) -> int:
    """0 when every venue says flat and without orders, 3 otherwise; ``say`` gets one line per step. Raises VenueRefused where every venue
    refuses the configuration, and for a bracket JournalFailed or JournalCorrupt at the begin: its orders protect what could then not be
    closed."""
    closer = Closer(open_journal, config.strategy.hedge_slippage_bps[-1], say)
    if config.strategy.kind == "bracket":
        closer.begin()
    desks = [_Desk(venue, config.strategy.ticker, say) for venue in venues]
    with ExitStack() as stack:
        for desk in desks:
            stack.callback(desk.close)
        _cancel_orders(desks)
        refusals = [desk.refusal for desk in desks if desk.refusal is not None and desk.is_refused]
        if len(refusals) == len(desks):
            raise refusals[0]
        _close_positions(desks, closer)
        unwritten = closer.finish()
    unread = [desk.name for desk in desks if desk.position is None]
    left = [line for desk in desks for line in desk.left(unread)] + unwritten
    for line in left:
        say(line)
    return EXIT_LEFT if left else EXIT_FLAT


def _cancel_orders(desks: Sequence[_Desk]) -> None:
    """In turns: no order rests for as long as another venue does not answer."""
    for _ in range(TRIES):
        for desk in desks:
            desk.cancel_orders()
        if all(desk.has_no_orders or desk.is_refused for desk in desks):
            return
        time.sleep(PAUSE_S)


def _close_positions(desks: Sequence[_Desk], closer: Closer) -> None:
    """Until every venue that was reached says flat; the last look comes after the last order."""
    reached = [desk for desk in desks if desk.account is not None]
    for _ in range(TRIES):
        for desk in reached:
            desk.look()
        is_read = all(desk.position is not None for desk in reached)
        if all(desk.is_clear for desk in reached) or (is_read and len(reached) < len(desks)):
            return
        if is_read:
            closer.close([leg for desk in reached if (leg := desk.leg()) is not None])
        time.sleep(PAUSE_S)
    for desk in reached:
        desk.look()


class _Desk:
    """One venue, and what it has answered so far. ``refusal``: why it is not reached, or was not at first."""

    def __init__(self, venue: Venue, ticker: str, say: Say) -> None:
        self.name = venue.name
        self.account: Account | None = None
        self.refusal: VenueRefused | None = None
        self.has_no_orders = False
        self.position: Decimal | None = None
        self._venue = venue
        self._ticker = ticker
        self._say = say

    @property
    def is_refused(self) -> bool:
        """For good: asking again would not help."""
        return self.account is None and self.refusal is not None and not isinstance(self.refusal, VenueUnreachable)

    @property
    def is_flat(self) -> bool:
        return self.account is not None and self.position is not None and abs(self.position) < self.account.instrument.lot_size

    @property
    def is_clear(self) -> bool:
        return self.has_no_orders and self.is_flat

    def cancel_orders(self) -> None:
        account = self._reached()
        if account is None or self.has_no_orders:
            return
        self._cancel_all(account)
        self.has_no_orders = self._lists_none(account)
        if self.has_no_orders:
            self._say(f"{self.name}: no open orders")

    def look(self) -> None:
        """Orders and position anew; an order that has come since is cancelled."""
        if self.account is None:
            return
        self.has_no_orders = self._lists_none(self.account)
        if not self.has_no_orders:
            self._cancel_all(self.account)
        was_flat, self.position = self.is_flat, self._read_position(self.account)
        if self.is_flat and not was_flat:
            self._say(f"{self.name}: flat ({self.position})")

    def leg(self) -> Leg | None:
        """What there is to close."""
        if self.account is None or self.position is None or self.is_flat:
            return None
        return Leg(self.account, self.position)

    def left(self, unread: Sequence[str]) -> list[str]:
        """What a person is told of it; ``unread``: the venues whose position is not known."""
        place = f"left at {self.name}:"
        if self.account is None:
            return [f"{place} unknown, it refuses to be asked" if self.is_refused else f"{place} not reachable"]
        found = [] if self.has_no_orders else [f"{place} orders may still be open"]
        if self.position is None:
            found.append(f"{place} position unknown")
        elif not self.is_flat:
            reason = f", not closed while {' and '.join(unread)} cannot be read" if unread else ""
            held = f"{Side.of(self.position).value} {abs(self.position)} {self.account.instrument.base}"
            found.append(f"{place} {held}{reason}")
        return found

    def close(self) -> None:
        if self.account is not None:
            self.account.trade.close()
            self.account.query.close()

    def _reached(self) -> Account | None:
        if self.account is None and not self.is_refused:
            try:
                instrument = self._venue.setup.resolve(self._ticker)
            except VenueRefused as refusal:
                if str(refusal) != str(self.refusal):
                    self._say(str(refusal))
                self.refusal = refusal
                return None
            self.account = Account(instrument, self._venue.trade_lane(instrument), self._venue.query_lane(instrument))
        return self.account

    def _cancel_all(self, account: Account) -> None:
        account.trade.cancel_all(CancelAll(venue=self.name, symbol=account.instrument.symbol))

    def _lists_none(self, account: Account) -> bool:
        """False where the read failed, too."""
        answer = account.query.fetch_open_orders(FetchOpenOrders(venue=self.name, symbol=account.instrument.symbol))
        listed = next((event for event in answer if isinstance(event, OpenOrdersFetched)), None)
        return listed is not None and not listed.orders

    def _read_position(self, account: Account) -> Decimal | None:
        """Signed base, None where the read failed: a failed read is not flat."""
        answer = account.query.fetch_position(FetchPosition(venue=self.name, symbol=account.instrument.symbol))
        return next((event.quantity for event in answer if isinstance(event, PositionReported)), None)
