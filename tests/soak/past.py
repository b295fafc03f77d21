"""A state folder as weeks of trading leave it: a journal whose stores of settled orders and of seen fills are at their bounds.

With it the memory of a soak shows what grows without bound: a young bot also grows by every order and fill that it may keep.
"""

from __future__ import annotations

import time
from pathlib import Path

from adapters.journal import SqliteJournal
from core.journal_state import FILL_KEYS_KEPT, Intent
from core.order import SETTLED_ORDERS_KEPT
from core.types import OrderState, VenueOrderId
from tests.core.builders import BUY, SELL, VENUES, changed, fill, place


def write_past(state_dir: Path, orders: int = SETTLED_ORDERS_KEPT, fills: int = FILL_KEYS_KEPT) -> None:
    """``orders`` quotes cancelled without a fill, and ``fills`` of orders long forgotten, which add up to no position."""
    state_dir.mkdir()
    journal = SqliteJournal(state_dir / "journal.sqlite")
    epoch = journal.begin_epoch()
    first, end = journal.lease_client_ids(orders)
    for client_id in range(first, end):
        order = place(client_id)
        journal.note(Intent(order=order, epoch=epoch))
        journal.note(changed(order, OrderState.CANCELED, venue_order_id=VenueOrderId(f"0x{client_id:032x}")))
    now_ms = time.time_ns() // 1_000_000
    for number in range(fills // 4):
        for venue in VENUES:
            for side in (BUY, SELL):
                order = place(venue=venue, side=side)
                journal.note(fill(order, f"past-{side.value}-{number}", "0.10", client_order_id=None, venue_time_ms=now_ms))
    journal.close(is_clean=True)
