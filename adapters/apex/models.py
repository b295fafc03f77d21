"""Wire structs of ApeX: what its frames and bodies look like (apex.md §1-§3, §7). They never judge values; ``parse`` and ``frames`` do.

Unknown fields are ignored and enum words stay text, so that a new word or field of the venue is never a decoding error. Numbers arrive as
strings that may be empty, so they stay text here. Lists of rows stay raw: an oddity in somebody else's row must not cost us ours.
"""

from __future__ import annotations

import msgspec
from msgspec import field

from adapters.apex.values import Number


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all wire structs; the venue writes camelCase."""


class Body(Wire, frozen=True, kw_only=True):
    """Every REST answer: ``data``, or ``code`` with ``msg`` and sometimes ``key`` (apex.md §1.2)."""

    data: msgspec.Raw = msgspec.Raw()
    code: Number | None = None
    msg: str = ""
    key: str = ""


class Request(Wire, frozen=True, kw_only=True):
    """What an answer is about; its arguments are not read, since a login's hold credentials."""

    op: str = ""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Every stream frame: a topic's data, an answer to a request, or a ping or pong (apex.md §2, §3). Private data is in ``contents``."""

    topic: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    contents: msgspec.Raw = msgspec.Raw()
    ts: Number | None = None
    timestamp: Number | None = None
    op: str = ""
    args: list[Number] | None = None
    success: bool | str | None = None
    ret_msg: str = ""
    request: Request | None = None


class Book(Wire, frozen=True, kw_only=True):
    """``orderBook…`` frames and GET /v3/depth: absolute quantities, either side may be empty."""

    s: str
    a: list[tuple[Number, Number]]
    b: list[tuple[Number, Number]]
    u: Number


class TickerRow(Wire, frozen=True, kw_only=True):
    """``instrumentInfo.H``: a delta holds changed keys only, and ``oraclePrice`` may be empty (apex.md §1.3)."""

    symbol: str = ""
    last_price: Number | None = None
    mark_price: Number | None = None
    index_price: Number | None = None
    funding_rate: Number | None = None


class TradeRow(Wire, frozen=True, kw_only=True):
    """A public trade; ``S`` is the taker's side."""

    time: Number = field(name="T")
    side: str = field(name="S")
    size: Number = field(name="v")
    price: Number = field(name="p")
    trade_id: str = field(name="i")


class KlineRow(Wire, frozen=True, kw_only=True):
    """A bar of ``candle.…``; ``confirm`` is true once it is closed."""

    start: Number
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    confirm: bool = False


class Contents(Wire, frozen=True, kw_only=True):
    """``contents`` of a private frame; a list that is absent, null or empty is no news (apex.md §3)."""

    orders: list[msgspec.Raw] | None = None
    fills: list[msgspec.Raw] | None = None
    positions: list[msgspec.Raw] | None = None
    contract_wallets: list[msgspec.Raw] | None = None


class SymbolRow(Wire, frozen=True, kw_only=True):
    """Whose row it is; read before the row itself."""

    symbol: str = ""


class OrderRow(Wire, frozen=True, kw_only=True):
    """An order of the stream or of REST: the two differ in the names of id, client id and time (apex.md §3). ``expiresAt`` comes in
    seconds or milliseconds and is not read."""

    symbol: str
    side: str
    status: str
    cum_success_fill_size: Number
    id: Number | None = None
    order_id: Number | None = None
    client_id: str | None = None
    client_order_id: str | None = None
    price: Number | None = None
    size: Number | None = None
    time_in_force: str = ""
    cancel_reason: str = ""
    updated_at: Number | None = None
    updated_time: Number | None = None


class FillRow(Wire, frozen=True, kw_only=True):
    """A fill of the stream or of REST; the maker flag is ``direction`` or, in the documentation, ``liquidity``."""

    id: Number
    order_id: Number
    symbol: str
    side: str
    price: Number
    size: Number
    created_at: Number
    fee: Number = ""
    client_id: str | None = None
    client_order_id: str | None = None
    direction: str = ""
    liquidity: str = ""
    status: str = ""


class Page(Wire, frozen=True, kw_only=True):
    """History and fills alike: the key is ``orders`` (apex.md §1.3). ``totalSize`` counts the rows of all pages."""

    orders: list[msgspec.Raw] | None
    total_size: Number | None = None


class PositionRow(Wire, frozen=True, kw_only=True):
    """One side of one symbol; ``size`` is unsigned and may be zero."""

    symbol: str
    side: str
    size: Number


class WalletRow(Wire, frozen=True, kw_only=True):
    """The coin is ``token`` on the stream and ``asset`` in REST."""

    balance: Number
    token: str = ""
    asset: str = ""


class FeeAccount(Wire, frozen=True, kw_only=True):
    taker_fee_rate: Number
    maker_fee_rate: Number
    status: str = ""


class AccountBody(Wire, frozen=True, kw_only=True):
    """GET /v3/account."""

    id: Number
    contract_account: FeeAccount
    positions: list[msgspec.Raw] | None = None


class BalanceBody(Wire, frozen=True, kw_only=True):
    total_equity_value: Number
    available_balance: Number


class WorstPriceBody(Wire, frozen=True, kw_only=True):
    worst_price: Number


class TimeBody(Wire, frozen=True, kw_only=True):
    time: Number


class Asset(Wire, frozen=True, kw_only=True):
    token: str = ""
    decimals: int = 0


class ContractHead(Wire, frozen=True, kw_only=True):
    """What is needed to choose a contract; the rest is decoded for the chosen one alone."""

    symbol: str = ""
    base_token_id: str = ""
    settle_asset_id: str = ""


class Contract(ContractHead, frozen=True, kw_only=True):
    """A row of ``perpetualContract``; ``crossSymbolName`` is its name in market data (apex.md §7)."""

    cross_symbol_name: str
    tick_size: Number
    step_size: Number
    min_order_size: Number
    l2_pair_id: Number = field(name="l2PairId")
    enable_trade: bool = False
    enable_open_position: bool = False
    is_prelaunch: bool = False


class ContractConfig(Wire, frozen=True, kw_only=True):
    perpetual_contract: list[msgspec.Raw]
    assets: list[Asset]


class SymbolsBody(Wire, frozen=True, kw_only=True):
    contract_config: ContractConfig
