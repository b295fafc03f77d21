"""EIP-712 signatures against the official golden vectors, vectors made with a second library, and two live orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.grvt.signer import (
    HAS_COINCURVE,
    CoincurveKey,
    EthKeysKey,
    NotSignable,
    OrderSigner,
    SignableOrder,
    scaled,
    struct_hash,
)
from tests.adapters.grvt.support import KEY, wire

KEYS = [
    pytest.param(CoincurveKey, marks=pytest.mark.skipif(not HAS_COINCURVE, reason="coincurve is not installed")),
    EthKeysKey,
]


def signable(message: dict[str, Any]) -> SignableOrder:
    leg = message["legs"][0]
    return SignableOrder(
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
        expiration_ns=message["expiration"],
    )


SAMPLE = SignableOrder(
    sub_account_id=1,
    is_market=False,
    time_in_force=1,
    post_only=True,
    reduce_only=False,
    asset_id=0x030401,
    contract_size=160_000_000,
    limit_price=3_072_800_000_000,
    is_buying=True,
    nonce=1,
    expiration_ns=1_767_225_600_000_000_000,
)


@pytest.mark.parametrize("make", KEYS)
def test_all_vectors_with_a_key_are_reproduced(make: type[CoincurveKey] | type[EthKeysKey]) -> None:
    """r, s, v and address equal the vector, byte for byte, leading zeros included."""
    for vector in wire("signing_vectors.jsonl"):
        if vector["private_key"] is None:
            continue
        signer = OrderSigner(vector["private_key"], vector["chain_id"], make)
        expected = (vector["r"], vector["s"], vector["v"], vector["signer"].lower())
        assert expected == (*signer.sign(signable(vector["message"])), signer.address), vector["name"]


def test_the_digests_of_all_vectors_are_reproduced() -> None:
    """Also those of live orders, whose keys nobody but their owners has."""
    for vector in wire("signing_vectors.jsonl"):
        digest = OrderSigner(KEY, vector["chain_id"]).digest(signable(vector["message"]))
        assert vector["digest"] == digest.hex(), vector["name"]


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_signatures_are_canonical_and_deterministic(nonce: int) -> None:
    """Low s, 64 hex digits, v 27 or 28; the same order signs the same, so that a repetition is a duplicate to the venue."""
    signer = OrderSigner(KEY, 325)
    first, second = (signer.sign(SAMPLE._replace(nonce=nonce)) for _ in range(2))
    half = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
    assert (True, 66, 66, True) == (int(first.s, 16) <= half, len(first.r), len(first.s), first.v in (27, 28))
    assert first == second


@pytest.mark.skipif(not HAS_COINCURVE, reason="coincurve is not installed")
def test_both_libraries_sign_the_same() -> None:
    """The optional library changes the time and nothing else."""
    assert OrderSigner(KEY, 325, CoincurveKey).sign(SAMPLE) == OrderSigner(KEY, 325, EthKeysKey).sign(SAMPLE)


@given(st.integers(min_value=1, max_value=10**15), st.integers(min_value=0, max_value=9))
def test_scaling_is_exact(coefficient: int, places: int) -> None:
    """value * 10**9 without rounding, also past the 28 digits of the default decimal context."""
    assert coefficient * 10 ** (9 - places) == scaled(Decimal(coefficient).scaleb(-places), 9, "price")


@pytest.mark.parametrize("text", ["0.0000000001", "1.1234567891", "-1", "NaN", "Infinity", "1E+99", "1E-99"])
def test_what_cannot_be_signed_exactly_is_refused(text: str) -> None:
    """An excess decimal is never cut."""
    with pytest.raises(NotSignable):
        scaled(Decimal(text), 9, "price")


@pytest.mark.parametrize(
    "change", [{"contract_size": 2**64}, {"nonce": 2**32}, {"expiration_ns": 2**63}, {"sub_account_id": 2**64}]
)
def test_numbers_outside_their_type_are_refused(change: dict[str, int]) -> None:
    """A value that wraps would sign another order."""
    with pytest.raises(NotSignable):
        struct_hash(SAMPLE._replace(**change))


@pytest.mark.parametrize("key", ["0x1234", "zz" * 32, "00" * 32, "ff" * 32])
def test_a_bad_key_is_refused_without_being_shown(key: str) -> None:
    """The message names the problem, not the key."""
    with pytest.raises(ValueError, match="private key") as caught:
        OrderSigner(key, 325)
    assert key not in str(caught.value)


def test_the_repr_of_a_signer_shows_no_key() -> None:
    """A signer in a log line costs nothing."""
    assert "22" * 8 not in repr(OrderSigner(KEY, 325))
