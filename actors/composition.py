"""A hedging run: the quoter on one venue, the hedger on the other, and the gate that bounds delta between them."""

from __future__ import annotations

from collections.abc import Callable

from actors.base import Identity, Report
from actors.children import Children, FoldingJournal, Outputs, Side, Started
from actors.decider import Decider
from actors.mailbox import Addresses
from actors.supervision import Child
from core.assembly import hedge_settings, quote_settings, risk_limits
from core.client_ids import ClientIds
from core.config import Config
from core.hedge_planner import HedgePlanner
from core.messages import LedgerSnapshot
from core.pairing import PairLedger
from core.quoter import Quoter
from core.risk_gate import RiskGate
from core.routing import HEDGER, QUOTER
from core.totals import RunTotals

__all__ = ["Composition", "Outputs", "Side"]


class Composition(Children):
    """Quote on ``maker``, hedge on ``hedge``."""

    def __init__(
        self,
        config: Config,
        maker: Side,
        hedge: Side,
        journal: FoldingJournal,
        outputs: Outputs,
        addresses: Addresses,
        report: Callable[[Report], None],
        *,
        process_epoch: int,
        is_dry_run: bool = False,
    ) -> None:
        self._maker = maker
        self._hedge = hedge
        self._limits = risk_limits(config, maker.instrument, hedge.instrument)
        fx = quote_settings(config, maker.instrument, hedge.instrument, maker.fees, hedge.fees).fx
        super().__init__(
            config,
            (maker, hedge),
            PairLedger(maker_venue=maker.venue.name, hedge_venue=hedge.venue.name, fx=fx),
            RunTotals({hedge.venue.name: fx}),
            journal,
            outputs,
            addresses,
            report,
            process_epoch=process_epoch,
            is_dry_run=is_dry_run,
        )

    def _gate(self, side: Side, ledger: LedgerSnapshot) -> RiskGate:
        return RiskGate(side.instrument, self._limits, ledger)

    def _strategy(self) -> list[Child]:
        return [self._child("hedger", HEDGER, self._hedger), self._child("quoter", QUOTER, self._quoter)]

    def _hedger(self, identity: Identity) -> Started:
        maker, hedge = self._maker.instrument, self._hedge.instrument
        core = HedgePlanner(maker, hedge, hedge_settings(self._config), ClientIds(HEDGER), epoch=identity.epoch)
        return Decider.start(identity, core, self.route(HEDGER))

    def _quoter(self, identity: Identity) -> Started:
        maker, hedge = self._maker, self._hedge
        state = self._read_journal()
        settings = quote_settings(self._config, maker.instrument, hedge.instrument, maker.fees, hedge.fees)
        core = Quoter(
            maker.instrument,
            hedge.instrument,
            settings,
            ClientIds(QUOTER),
            epoch=identity.epoch,
            last_cycle_id=state.last_finished_cycle_id,
            done_cycles=state.last_finished_cycle_id - self._finished_at_start,
        )
        return Decider.start(identity, core, self.route(QUOTER))
