"""A bracket run: one venue, one OCO pair actor that enters, protects and ends a position."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType

from actors.base import Identity, Report
from actors.children import Children, FoldingJournal, Outputs, Side, Started
from actors.mailbox import Addresses
from actors.oco_pair import OcoPairActor
from actors.supervision import Child
from core.assembly import bracket_collar_bps, pair_settings
from core.bracket import Bracket
from core.bracket_gate import BracketGate
from core.client_ids import ClientIds
from core.config import Config
from core.journal_state import JournalState
from core.messages import LedgerSnapshot
from core.pairing import PairLedger
from core.routing import HEDGER, OCO_PAIR, QUOTER
from core.totals import RunTotals
from core.types import ZERO, Role


class BracketComposition(Children):
    """Enter, protect, end flat; ``run.iterations`` times."""

    aliases: Mapping[str, str | None] = MappingProxyType({QUOTER: OCO_PAIR, HEDGER: None})

    def __init__(
        self,
        config: Config,
        side: Side,
        journal: FoldingJournal,
        outputs: Outputs,
        addresses: Addresses,
        report: Callable[[Report], None],
        *,
        process_epoch: int,
        is_dry_run: bool = False,
    ) -> None:
        self._settings = pair_settings(config)
        self._side = side
        name = side.venue.name
        super().__init__(
            config,
            (side,),
            PairLedger(maker_venue=name, hedge_venue=name),
            RunTotals(),
            journal,
            outputs,
            addresses,
            report,
            process_epoch=process_epoch,
            is_dry_run=is_dry_run,
        )

    def _gate(self, side: Side, ledger: LedgerSnapshot) -> BracketGate:
        collar = bracket_collar_bps(self._config)
        return BracketGate(side.instrument, self._settings.side, self._config.strategy.size, collar, ledger)

    def _strategy(self) -> list[Child]:
        return [self._child("oco_pair", OCO_PAIR, self._pair)]

    def _pair(self, identity: Identity) -> Started:
        self._journal.flush()
        state = self._journal.fold()
        entered, value = _entry(state)
        core = Bracket(
            self._side.instrument,
            self._settings,
            self._config.strategy.size,
            ClientIds(OCO_PAIR),
            epoch=identity.epoch,
            iterations=self._config.run.iterations,
            last_cycle_id=state.last_cycle_id,
            entered=entered,
            entry_value=value,
        )
        return OcoPairActor.start(identity, core, self.route(OCO_PAIR), time.monotonic)


def _entry(state: JournalState) -> tuple[Decimal, Decimal]:
    """Base quantity and quote value of the entry fills since the position was last flat; zeros where nothing is held."""
    fills = [event.fill for event in state.fills_since_flat if event.order is not None and event.order.role is Role.ENTRY]
    return sum((fill.quantity for fill in fills), ZERO), sum((fill.quantity * fill.price for fill in fills), ZERO)
