"""Calls before any actor runs: the contract, its fees, the clock, the account (core.ports.VenueSetup).

Nothing about the contract is typed in by hand; each failure is one ``VenueRefused`` line that names what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from adapters.grvt import codes, models, parse, requests
from adapters.grvt.auth import GrvtAuth
from adapters.grvt.caller import Answered, Caller, Denied, Lost, Reply
from adapters.grvt.clock import VenueClock
from adapters.grvt.parse import Account
from adapters.grvt.values import VENUE, Rule, WireRefused, not_negative, number, positive, uint
from adapters.transport.rest import NotSent
from core.instrument import Instrument
from core.messages import BookUpdated, FillReported, Message
from core.ports import AccountInfo, VenueRefused, VenueUnreachable
from core.types import ZERO, Fees, Liquidity

QUOTE = "USDT"
CLOCK_SAMPLES = 5
FEE_LOOKBACK_MS = 7 * 86_400_000
BASE_TIER = Fees(maker=ZERO, taker=Decimal("0.00045"))
"""For an account without fills: the base tier's taker fee of live fills; its rebate of 0.0001% is not counted before it is seen (§7)."""

_FEE_STEP = Decimal("0.0000001")
_DECIMALS_MAX = 18
T = TypeVar("T")


class GrvtSetup:
    """Used by one thread, once."""

    venue = VENUE

    def __init__(
        self,
        trades: Caller,
        market_data: Caller,
        auth: GrvtAuth,
        clock: VenueClock,
        sub_account_id: str,
    ) -> None:
        self._trades = trades
        self._market_data = market_data
        self._auth = auth
        self._clock = clock
        self._sub_account_id = sub_account_id

    def resolve(self, ticker: str) -> Instrument:
        """The active perpetual of ``ticker`` quoted in USDT (grvt.md §5: symbol, hash, decimals, tick, size step, minimums)."""
        rows = self._read(self._market_data, requests.all_instruments(), parse.instruments, "all_instruments")
        perpetuals = [row for row in rows if row.kind == "PERPETUAL" and row.quote == QUOTE]
        matches = [row for row in perpetuals if row.base == ticker.upper()]
        if len(matches) != 1:
            existing = ", ".join(sorted({row.base for row in perpetuals})) or "none"
            problem = "no" if not matches else f"{len(matches)} times a"
            raise VenueRefused(f"grvt: {problem} perpetual {ticker}/{QUOTE}; existing: {existing}")
        if matches[0].status not in (None, "ACTIVE"):
            raise VenueRefused(f"grvt: {matches[0].instrument} is {matches[0].status}, not ACTIVE")
        try:
            return instrument_of(matches[0])
        except WireRefused as error:
            raise VenueRefused(f"grvt: {matches[0].instrument} as described by all_instruments: {error}") from None

    def fees(self, instrument: Instrument) -> Fees:
        """Measured on one page of our own fills of the last week: fee over notional by liquidity; ``BASE_TIER`` where there are none.

        No answer of the API has a usable rate: account_summary has none, funding_account_summary shows integers without a unit (null in
        the official example), and ``fee_rate`` of a fill rounds the base rebate to 0 (grvt.md §3, §7).
        """
        account = self._account(instrument)
        since_ms = max(self._clock.now_ms() - FEE_LOOKBACK_MS, 0)
        call = requests.fill_history(self._sub_account_id, instrument, since_ms, "")
        now = self._trades.now()
        fills, _ = self._read(self._trades, call, lambda body: parse.fill_page(body, account, now), "fill_history")
        return measured_fees(fills, instrument.quote)

    def clock_offset_ms(self) -> float:
        """Best of five by round trip; the lanes sign with it from now on."""
        samples: list[tuple[float, float]] = []
        for _ in range(CLOCK_SAMPLES):
            before_ms = self._clock.local_ms()
            reply = self._market_data.get("/time")
            after_ms = self._clock.local_ms()
            server_ms = self._body(reply, parse.server_time_ms, "time")
            samples.append((after_ms - before_ms, server_ms - (before_ms + after_ms) / 2))
        offset_ms = min(samples)[1]
        self._clock.measured(offset_ms)
        return offset_ms

    def account(self) -> AccountInfo:
        """Whether the key belongs to the configured trading account and the account holds anything."""
        summary = self._read(self._trades, requests.account_summary(self._sub_account_id), parse.summary, "account_summary")
        named = self._auth.sub_account_id
        if named and named != self._sub_account_id:
            return AccountInfo(
                can_trade=False, detail="the API key belongs to another trading account than GRVT_TRADING_ACCOUNT_ID"
            )
        if str(summary.sub_account_id) != self._sub_account_id:
            return AccountInfo(can_trade=False, detail="account_summary answered for another trading account")
        try:
            equity = number(summary.total_equity, "total_equity")
            available = number(summary.available_balance, "available_balance")
        except WireRefused as error:
            raise VenueRefused(f"grvt: account_summary: {error}") from None
        detail = f"equity {equity:f} {summary.settle_currency}, available {available:f}"
        return AccountInfo(can_trade=equity > 0, detail=detail)

    def book(self, instrument: Instrument) -> BookUpdated:
        call = requests.book(instrument.symbol)
        now = self._market_data.now()
        return self._read(self._market_data, call, lambda body: parse.book_answer(body, instrument.symbol, now), "book")

    def position(self, instrument: Instrument) -> Decimal:
        call, now = requests.positions(self._sub_account_id, instrument), self._trades.now()
        account = self._account(instrument)
        return self._read(self._trades, call, lambda body: parse.position_answer(body, account, now), "positions").quantity

    def open_orders(self, instrument: Instrument) -> Sequence[Message]:
        call, now = requests.open_orders(self._sub_account_id, instrument), self._trades.now()
        account = self._account(instrument)
        return self._read(self._trades, call, lambda body: parse.open_orders(body, account, now), "open_orders")

    def _account(self, instrument: Instrument) -> Account:
        return Account(self._sub_account_id, instrument.symbol, instrument.quote)

    def _read(self, caller: Caller, call: requests.Call, read: Callable[[bytes], T], name: str) -> T:
        return self._body(caller.post(call), read, name)

    def _body(self, reply: Reply, read: Callable[[bytes], T], name: str) -> T:
        if not isinstance(reply, Answered):
            raise _unanswered(name, reply)
        try:
            return read(reply.body)
        except WireRefused as error:
            line = f"grvt: {name}: answer refused: {error}"
            raise (VenueUnreachable(line) if error.rule is Rule.NOT_JSON else VenueRefused(line)) from None


def _unanswered(name: str, reply: Denied | Lost | NotSent) -> VenueRefused:
    """Only a code of the venue's own refuses for good: a page of some proxy, or none at all, is no word of the venue."""
    line = f"grvt: {name}: {reply.reason}"
    if isinstance(reply, Denied) and codes.is_permanent(reply.code):
        return VenueRefused(line)
    return VenueUnreachable(line, None if isinstance(reply, NotSent) else reply.retry_after_s)


def instrument_of(row: models.InstrumentRow) -> Instrument:
    """A row of all_instruments as an Instrument; the size step is ``min_size``, not the decimals (grvt.md §4). Raises WireRefused."""
    lot = positive(row.min_size, "min_size")
    asset_id, decimals = uint(row.instrument_hash, "instrument_hash", 128), uint(row.base_decimals, "base_decimals", 8)
    if not asset_id:
        raise WireRefused(Rule.BAD_ID, "instrument_hash is missing")
    if decimals > _DECIMALS_MAX or lot % Decimal(1).scaleb(-decimals) != 0:
        raise WireRefused(Rule.TOO_LONG, f"min_size {lot} with base_decimals {decimals}")
    return Instrument(
        venue=VENUE,
        symbol=row.instrument,
        base=row.base,
        quote=row.quote,
        tick_size=positive(row.tick_size, "tick_size"),
        lot_size=lot,
        min_quantity=lot,
        min_notional=not_negative(row.min_notional, "min_notional"),
        contract_id=f"0x{asset_id:06x}",
        base_decimals=decimals,
    )


def measured_fees(fills: Sequence[FillReported], quote: str) -> Fees:
    """Signed fee over notional, by liquidity, of the fills whose fee is in ``quote``."""
    return Fees(
        maker=_measured(fills, quote, Liquidity.MAKER, BASE_TIER.maker),
        taker=_measured(fills, quote, Liquidity.TAKER, BASE_TIER.taker),
    )


def _measured(fills: Sequence[FillReported], quote: str, liquidity: Liquidity, default: Decimal) -> Decimal:
    counted = [fill for fill in fills if fill.liquidity is liquidity and fill.fee_currency == quote]
    notional = sum((fill.price * fill.quantity for fill in counted), ZERO)
    return (sum((fill.fee for fill in counted), ZERO) / notional).quantize(_FEE_STEP) if notional else default
