"""What ApeX says of its contracts: ``GET /v3/symbols``, and the two names of each symbol (apex.md §7, rest_responses.jsonl).

Must never hold a price. Trading speaks of BTC-USDT (``symbol``), market data of BTCUSDT (``crossSymbolName``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from core.instrument import Instrument
from simulator.apex_wire import Json, number

ASSET_DECIMALS = 18
INITIAL_MARGIN = Decimal("0.05")
_RISK: Json = {
    "baselinePositionValue": "50000.0000",
    "displayMaxLeverage": "100",
    "displayMinLeverage": "1",
    "fundingImpactMarginNotional": "6",
    "fundingInterestRate": "0.0003",
    "incrementalInitialMarginRate": "0.00250",
    "incrementalMaintenanceMarginRate": "0.00100",
    "incrementalPositionValue": "50000.0000",
    "initialMarginRate": "0.01",
    "maintenanceMarginRate": "0.005",
    "maxMarketPriceRange": "0.025",
    "maxMaintenanceMarginRate": "0.5000",
    "maxPositionValue": "5000000.0000",
    "defaultInitialMarginRate": number(INITIAL_MARGIN),
    "maxMarketSizeBuffer": "0.98",
    "indexPriceVarRate": "0.001",
    "openPositionOiLimitRate": "0.05",
    "fundingMaxRate": "0.000234",
    "fundingMinRate": "-0.000234",
    "fundingMaxValue": "",
}
_SWITCHES: Json = {
    "enableDisplay": True,
    "enableOpenPosition": True,
    "enableFundingSettlement": True,
    "enableFundingMxValue": True,
    "riskTip": False,
    "klineStartTime": 0,
    "indexPriceDecimals": 2,
    "settleTimeStamp": 0,
    "isPrelaunch": False,
    "riskLimitConfig": {},
    "category": "L1",
    "tag": "HOT",
}


def market_name(instrument: Instrument) -> str:
    """The dashless name market data goes by."""
    return instrument.market_symbol or instrument.symbol.replace("-", "")


def by_market_name(instruments: Mapping[str, Instrument]) -> dict[str, str]:
    """Dashless name to trading symbol."""
    return {market_name(instrument): symbol for symbol, instrument in instruments.items()}


def symbols_data(instruments: Mapping[str, Instrument], disabled: Collection[str]) -> Json:
    """``data`` of ``GET /v3/symbols``; ``disabled``: symbols whose trading is off."""
    quotes = sorted({instrument.quote for instrument in instruments.values()})
    contract_config: Json = {
        "assets": [_asset(quote) for quote in quotes],
        "tokens": [{"token": each.base, "stepSize": number(each.lot_size)} for each in instruments.values()],
        "perpetualContract": [
            _contract(index, each, is_tradable=each.symbol not in disabled)
            for index, each in enumerate(instruments.values(), start=10)
        ],
        "prelaunchContract": [],
        "predictionContract": [],
        "stockContract": [],
    }
    return {"spotConfig": {"assets": [], "global": {}}, "contractConfig": contract_config}


def _asset(token: str) -> Json:
    name = "Tether USD Coin" if token == "USDT" else token
    row = {"tokenId": "60140", "token": token, "displayName": name, "decimals": ASSET_DECIMALS}
    return {**row, "showStep": "0.0001", "l2WithdrawFee": "0"}


def _contract(index: int, instrument: Instrument, *, is_tradable: bool) -> Json:
    tick = instrument.tick_size
    return {
        **_RISK,
        **_SWITCHES,
        "crossId": 30_002 + index - 10,
        "crossSymbolId": index,
        "crossSymbolName": market_name(instrument),
        "digitMerge": ",".join(number(tick * step) for step in (1, 2, 4, 10, 20)),
        "enableTrade": is_tradable,
        "maxOrderSize": "50",
        "maxPositionSize": "100",
        "minOrderSize": number(instrument.min_quantity),
        "settleAssetId": instrument.quote,
        "baseTokenId": instrument.base,
        "stepSize": number(instrument.lot_size),
        "symbol": instrument.symbol,
        "symbolDisplayName": market_name(instrument),
        "tickSize": number(tick),
        "l2PairId": instrument.contract_id,
    }
