"""A bracket run: one venue, one OCO pair actor that enters, protects and ends a position."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from actors.base import Identity, Report
from actors.children import Children, FoldingJournal, Outputs, Side, Started
from actors.mailbox import Addresses
from actors.oco_pair import OcoPairActor
from actors.supervision import Child
from core.assembly import bracket_collar_bps, bracket_policy, pair_settings
from core.bracket import Bracket, entry_of
from core.bracket_gate import BracketGate
from core.client_ids import ClientIds
from core.config import Config
from core.messages import LedgerSnapshot
from core.pairing import PairLedger
from core.routing import HEDGER, OCO_PAIR, QUOTER
from core.totals import RunTotals
from core.types import VenueId
from core.venue_watch import VenuePolicy


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
        self._settings = pair_settings(config, side.venue.capabilities)
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

    @property
    def policies(self) -> dict[VenueId, VenuePolicy]:
        return {self._side.venue.name: bracket_policy(self._side.instrument, self._side.venue.capabilities)}

    def _gate(self, side: Side, ledger: LedgerSnapshot) -> BracketGate:
        collar = bracket_collar_bps(self._config)
        return BracketGate(side.instrument, self._settings.side, self._config.strategy.size, collar, ledger)

    def _strategy(self) -> list[Child]:
        return [self._child("oco_pair", OCO_PAIR, self._pair)]

    def _pair(self, identity: Identity) -> Started:
        state = self._read_journal()
        entered, value = entry_of(state)
        core = Bracket(
            self._side.instrument,
            self._settings,
            self._config.strategy.size,
            ClientIds(OCO_PAIR),
            epoch=identity.epoch,
            iterations=self._config.run.iterations,
            done=state.last_finished_cycle_id - self._finished_at_start,
            last_cycle_id=state.last_cycle_id,
            released_cycle_id=state.last_released_cycle_id,
            entered=entered,
            entry_value=value,
        )
        return OcoPairActor.start(identity, core, self.route(OCO_PAIR), time.monotonic)
