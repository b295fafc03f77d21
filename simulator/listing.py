"""What the simulated venues list and whom they know: contracts, fees, delays, and credentials that are worth nothing anywhere.

Must never hold a credential of a real account.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.instrument import Instrument
from core.types import Fees, VenueId
from simulator.clock import Delays

GRVT, BACKPACK = "grvt", "backpack"
PRICES: Mapping[str, Decimal] = {"ETH": Decimal(3000), "BTC": Decimal(100_000)}
"""Where the mid of each asset starts."""


def _contract(venue: str, symbol: str, tick: str, lot: str, notional: str = "0", contract_id: str = "") -> Instrument:
    base, quote = symbol.split("_")[:2]
    return Instrument(
        venue=VenueId(venue),
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_quantity=Decimal(lot),
        min_notional=Decimal(notional),
        contract_id=contract_id,
        base_decimals=9 if contract_id else 0,
    )


INSTRUMENTS: Mapping[str, tuple[Instrument, ...]] = {
    GRVT: (
        _contract(GRVT, "ETH_USDT_Perp", "0.01", "0.01", "20", "0x030401"),
        _contract(GRVT, "BTC_USDT_Perp", "0.1", "0.001", "100", "0x030501"),
    ),
    BACKPACK: (
        _contract(BACKPACK, "ETH_USDC_PERP", "0.01", "0.01"),
        _contract(BACKPACK, "BTC_USDC_PERP", "0.1", "0.00001"),
    ),
}
FEES: Mapping[str, Fees] = {
    GRVT: Fees(Decimal("-0.000001"), Decimal("0.00045")),
    BACKPACK: Fees(Decimal("0.0002"), Decimal("0.0005")),
}
"""GRVT as fills showed it (grvt.md §7); Backpack's base tier."""
REAL_DELAYS: Mapping[str, Delays] = {GRVT: Delays(0.02, 0.02, 0.05), BACKPACK: Delays(0.03, 0.03, 0.05)}
"""Round trips of 40 and 60 ms, stream events 50 ms after the fact."""

_SEED = bytes(range(32))
_PUBLIC_KEY = base64.b64encode(Ed25519PrivateKey.from_private_bytes(_SEED).public_key().public_bytes_raw()).decode()
_SUB_ACCOUNT = "2147050003876484"
ACCOUNTS: Mapping[str, str] = {GRVT: _SUB_ACCOUNT, BACKPACK: "paper"}
"""The bot's account on each exchange."""
BOT_CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    GRVT: {
        "GRVT_API_KEY": "paper-api-key",
        "GRVT_PRIVATE_KEY": "0x" + "11" * 32,
        "GRVT_TRADING_ACCOUNT_ID": _SUB_ACCOUNT,
        "GRVT_ENVIRONMENT": "prod",
    },
    BACKPACK: {"BACKPACK_PUBLIC_KEY": _PUBLIC_KEY, "BACKPACK_SECRET_KEY": base64.b64encode(_SEED).decode()},
}
"""What a bot logs in with, under the names it reads from its environment."""
FACE_CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    GRVT: {
        "api_key": BOT_CREDENTIALS[GRVT]["GRVT_API_KEY"],
        "signer_address": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
        "sub_account_id": _SUB_ACCOUNT,
        "account_id": "ACC:paper",
        "chain_id": "325",
    },
    BACKPACK: {"api_key": _PUBLIC_KEY, "account": ACCOUNTS[BACKPACK]},
}
"""What the faces check it against: the address is that of the private key above, the chain GRVT's production (grvt.md §1)."""
