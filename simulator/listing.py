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
from simulator.apex import ApexTimes
from simulator.clock import Delays

GRVT, BACKPACK, APEX = "grvt", "backpack", "apex"
VENUES = (GRVT, BACKPACK, APEX)
DEFAULT_VENUES = (GRVT, BACKPACK)
PRICES: Mapping[str, Decimal] = {"ETH": Decimal(3000), "BTC": Decimal(100_000)}
"""Where the mid of each asset starts."""


def _contract(
    venue: str,
    symbol: str,
    tick: str,
    lot: str,
    notional: str = "0",
    contract_id: str = "",
    *,
    base_decimals: int = 0,
    market_symbol: str = "",
) -> Instrument:
    base, quote = symbol.replace("-", "_").split("_")[:2]
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
        base_decimals=base_decimals,
        market_symbol=market_symbol,
    )


INSTRUMENTS: Mapping[str, tuple[Instrument, ...]] = {
    GRVT: (
        _contract(GRVT, "ETH_USDT_Perp", "0.01", "0.01", "20", "0x030401", base_decimals=9),
        _contract(GRVT, "BTC_USDT_Perp", "0.1", "0.001", "100", "0x030501", base_decimals=9),
    ),
    BACKPACK: (
        _contract(BACKPACK, "ETH_USDC_PERP", "0.01", "0.01"),
        _contract(BACKPACK, "BTC_USDC_PERP", "0.1", "0.00001"),
    ),
    APEX: (
        _contract(APEX, "ETH-USDT", "0.01", "0.01", "0", "50002", base_decimals=18, market_symbol="ETHUSDT"),
        _contract(APEX, "BTC-USDT", "0.1", "0.001", "0", "50001", base_decimals=18, market_symbol="BTCUSDT"),
    ),
}
FEES: Mapping[str, Fees] = {
    GRVT: Fees(Decimal("-0.000001"), Decimal("0.00045")),
    BACKPACK: Fees(Decimal("0.0002"), Decimal("0.0005")),
    APEX: Fees(Decimal("0.0002"), Decimal("0.0005")),
}
"""GRVT as fills showed it (grvt.md §7); the base tiers of Backpack and ApeX."""
REAL_DELAYS: Mapping[str, Delays] = {
    GRVT: Delays(0.02, 0.02, 0.05),
    BACKPACK: Delays(0.03, 0.03, 0.05),
    APEX: Delays(0.04, 0.04, 0.05),
}
"""Round trips of 40, 60 and 80 ms, stream events 50 ms after the fact."""
REAL_APEX_TIMES = ApexTimes(match_s=0.01, cancel_s=0.02, censor_s=0.02)
"""ApeX answers before it acts: what an order and a cancel take from there on is a guess (apex.md §8 has the server's own times)."""

_SEED = bytes(range(32))
_PUBLIC_KEY = base64.b64encode(Ed25519PrivateKey.from_private_bytes(_SEED).public_key().public_bytes_raw()).decode()
_SUB_ACCOUNT = "2147050003876484"
_APEX_ACCOUNT = "700000000000000001"
ACCOUNTS: Mapping[str, str] = {GRVT: _SUB_ACCOUNT, BACKPACK: "paper", APEX: _APEX_ACCOUNT}
"""The bot's account on each exchange."""
BOT_CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    GRVT: {
        "GRVT_API_KEY": "paper-api-key",
        "GRVT_PRIVATE_KEY": "0x" + "11" * 32,
        "GRVT_TRADING_ACCOUNT_ID": _SUB_ACCOUNT,
        "GRVT_ENVIRONMENT": "prod",
    },
    BACKPACK: {"BACKPACK_PUBLIC_KEY": _PUBLIC_KEY, "BACKPACK_SECRET_KEY": base64.b64encode(_SEED).decode()},
    APEX: {
        "APEX_API_KEY": "paper-api-key",
        "APEX_API_KEY_SECRET": "paper-api-secret",
        "APEX_API_KEY_PASSPHRASE": "paper-passphrase",
        "APEX_OMNI_KEY_SEED": "0x" + "11" * 65,
    },
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
    APEX: {
        "api_key": BOT_CREDENTIALS[APEX]["APEX_API_KEY"],
        "secret": BOT_CREDENTIALS[APEX]["APEX_API_KEY_SECRET"],
        "passphrase": BOT_CREDENTIALS[APEX]["APEX_API_KEY_PASSPHRASE"],
        "account_id": _APEX_ACCOUNT,
        "l2_key": "0x30b0c1f5d42923c43af4f303de94160c80dc79c519d2c35f12c244947615cf0f",
    },
}
"""What the faces check it against: the address is that of the private key above, the chain GRVT's production (grvt.md §1), ApeX's
l2 key that of the seed above (apex.md §1.6)."""
