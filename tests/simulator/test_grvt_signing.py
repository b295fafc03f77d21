"""The face's own EIP-712 digest and signer recovery, against the published and the live vectors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import grvt_signing as signing
from simulator import grvt_wire as wire
from tests.simulator.grvt_rig import BTC, KEY, SIGNER, capture, wire_lines


def signed_order(message: dict[str, Any]) -> signing.SignedOrder:
    leg = message["legs"][0]
    return signing.SignedOrder(
        sub_account_id=message["subAccountID"],
        is_market=message["isMarket"],
        time_in_force=message["timeInForce"],
        post_only=message["postOnly"],
        reduce_only=message["reduceOnly"],
        asset_id=int(leg["assetID"], 16),
        contract_size=leg["contractSize"],
        limit_price=leg["limitPrice"],
        is_buying=leg["isBuyingContract"],
        nonce=message["nonce"],
        expiration=message["expiration"],
    )


def test_digests_equal_the_vectors() -> None:
    """The digest of every official, generated and live vector is the recorded one."""
    vectors = wire_lines("signing_vectors.jsonl")
    expected = [vector["digest"] for vector in vectors]
    assert expected == [signing.digest(signed_order(v["message"]), v["chain_id"]).hex() for v in vectors]


def test_signers_are_recovered_from_the_vectors() -> None:
    """Recovery finds the signer of every vector, two live production orders among them."""
    vectors = wire_lines("signing_vectors.jsonl")
    recovered = [signing.recover(bytes.fromhex(v["digest"]), r=int(v["r"], 16), s=int(v["s"], 16), v=v["v"]) for v in vectors]
    assert [v["signer"].lower() for v in vectors] == recovered


def test_numbers_scale_as_the_vectors_do() -> None:
    """Sizes scale by base decimals and prices by 1e9, without a float in between."""
    vectors = [v for v in wire_lines("signing_vectors.jsonl") if "wire" in v]
    expected = [(v["message"]["legs"][0]["contractSize"], v["message"]["legs"][0]["limitPrice"]) for v in vectors]
    scaled = [signing.scaled(Decimal(v["wire"]["size"]), Decimal(v["wire"]["limit_price"]), 9) for v in vectors]
    assert expected == scaled


ORDER = signing.SignedOrder(1, False, 1, True, False, 0x030401, 160000000, 3072800000000, True, 7, 1767225600000000000)


@settings(max_examples=60)
@given(field=st.sampled_from(ORDER._fields), chain=st.booleans())
def test_a_signature_covers_every_field(field: str, chain: bool) -> None:
    """Changing any signed field, or the chain, makes the signature somebody else's."""
    account = Account.from_key(KEY)
    signature = account.unsafe_sign_hash(signing.digest(ORDER, 325))
    old = getattr(ORDER, field)
    changed = ORDER._replace(**{field: not old if isinstance(old, bool) else old + 1})
    forged = signing.digest(ORDER, 326) if chain else signing.digest(changed, 325)
    assert SIGNER.lower() != signing.recover(forged, r=signature.r, s=signature.s, v=signature.v)


GOOD = {"r": "0x" + "11" * 32, "s": "0x" + "11" * 32, "v": 27}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"r": "0x11"}, 2006),
        ({"s": "0x" + "zz" * 32}, 2006),
        ({"s": 17}, 2006),
        ({"v": 1}, 2005),
        ({"v": None}, 2005),
        ({"s": f"0x{signing.CURVE_ORDER // 2 + 1:064x}"}, 2007),
    ],
)
def test_malformed_signatures_have_their_own_codes(change: dict[str, object], code: int | None) -> None:
    """r and s of 64 digits, v of 27 or 28, s in the lower half: each wrong form has its code."""
    assert code == signing.signature_fault(GOOD | change)


def test_numbers_that_are_no_signature_recover_nobody() -> None:
    """r = 0 is no point of the curve: no signer, no exception."""
    assert signing.recover(b"\x00" * 32, r=0, s=1, v=27) is None


def test_order_ids_are_made_like_the_live_ones() -> None:
    """Kind, base, quote, the end of s and a counter give exactly the id of a live order."""
    order = capture("handle_order")["feed"]
    counter = int(order["order_id"][-16:], 16)
    assert order["order_id"] == wire.order_id_text(BTC, order["signature"]["s"], counter)
