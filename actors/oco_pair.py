"""One OCO pair as an actor: the bracket core in a thread, with the pair's latencies measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.base import Identity
from actors.decider import Decider
from core.bracket import Bracket
from core.messages import CancelOrder, FillRecorded, Message, OrderChanged
from core.metrics import Histogram
from core.types import ClientOrderId, Role

AWAITED_MAX = 64
"""Cancelled siblings whose end is still to be seen; one that the venue never ends must not be kept for ever."""


class OcoPairActor(Decider):
    """``clock``: monotonic seconds. Histograms: leg fill received -> sibling's cancel told, and -> its terminal state seen."""

    def __init__(self, identity: Identity, core: Bracket, route: Callable[[Message], None], clock: Callable[[], float]) -> None:
        super().__init__(identity, core, self._measured(route))
        self._bracket = core
        self._clock = clock
        self._filled_at: float | None = None
        self._awaited: dict[ClientOrderId, float] = {}
        self._to_cancel = Histogram()
        self._to_terminal = Histogram()

    def _measured(self, route: Callable[[Message], None]) -> Callable[[Message], None]:
        def send(message: Message) -> None:
            route(message)
            if isinstance(message, CancelOrder) and self._filled_at is not None:
                while len(self._awaited) >= AWAITED_MAX:
                    del self._awaited[next(iter(self._awaited))]
                self._to_cancel = self._to_cancel.with_sample(self._clock() - self._filled_at)
                self._awaited[message.client_order_id] = self._filled_at

        return send

    def handle(self, message: Message) -> None:
        match message:
            case FillRecorded() if message.order is not None and message.order.role in (Role.TP, Role.SL):
                self._filled_at = message.fill.received_at
            case OrderChanged() if message.order.is_closed and message.order.client_order_id in self._awaited:
                since = self._awaited.pop(message.order.client_order_id)
                self._to_terminal = self._to_terminal.with_sample(self._clock() - since)
            case _:
                pass
        super().handle(message)
        self._filled_at = None

    def health(self) -> Mapping[str, object]:
        """``pair`` state and the seed's counters under their own names."""
        pair = self._bracket.pair
        metrics = {
            "oco_success": float(pair.successes),
            "oco_failures": float(pair.failures),
            "avg_latency_ms": (self._to_cancel.mean_s() or 0.0) * 1000,
            **_quantiles("oco_cancel", self._to_cancel),
            **_quantiles("oco_terminal", self._to_terminal),
        }
        return {"pair": pair.state.value, "metrics": metrics}


def _quantiles(name: str, histogram: Histogram) -> dict[str, float]:
    """Milliseconds; 0 before the first sample."""
    return {f"{name}_p{share}_ms": (histogram.quantile_s(share / 100) or 0.0) * 1000 for share in (50, 99)}
