"""The zk signature of an ApeX order: recorded vectors against the native library, the form without it (apex.md §1.5, §1.6)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.types import Fees
from simulator import apex_zk
from simulator.apex_zk import SignedOrder, ZkVerifier
from tests.simulator.apex_kit import ACCOUNT, FEES, L2_KEY, Bench, native_library, wire_lines

needs_library = pytest.mark.skipif(native_library() is None, reason="apexomni is not installed")
VERIFIER = ZkVerifier(ACCOUNT, L2_KEY, FEES)
ORDER = SignedOrder("bot-0001", 50001, Decimal("0.001"), Decimal("60000.5"), is_buy=True)
SIGNATURE = (
    "0xe85408b9c60dd55b3605cae65f9bd73902ba95fc85f7e9a909d398974335bc9c"
    "ba1e63193ed2b6fb59b6af2fa769ab9395abce3df4904e0db6ddf6f60d65bb01"
)


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apex_zk, "PACKAGE", "apexomni_that_is_not_there")
    apex_zk.load_library.cache_clear()
    yield
    apex_zk.load_library.cache_clear()


@needs_library
def test_recorded_signatures_are_genuine():
    """Those an official client made, legs included."""
    found = []
    for line in wire_lines("sdk_order_posts"):
        form = line.get("form", {})
        for prefix, name in (("", "clientId"), ("sl", "slClientOrderId"), ("tp", "tpClientOrderId")):
            if name in form:
                size, price, side, signature = (
                    form[field if not prefix else prefix + field.capitalize()] for field in ("size", "price", "side", "signature")
                )
                order = SignedOrder(form[name], int(line["l2PairId"]), Decimal(size), Decimal(price), side == "BUY")
                found.append(VERIFIER.is_genuine(order, signature))
    assert [True] * 9 == found


@needs_library
@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "bot-0002"},
        {"l2_pair_id": 50002},
        {"size": Decimal("0.002")},
        {"price": Decimal("60000.6")},
        {"is_buy": False},
    ],
    ids=str,
)
def test_each_part_of_an_order_is_signed(change: dict):
    assert (True, False) == (VERIFIER.is_genuine(ORDER, SIGNATURE), VERIFIER.is_genuine(ORDER._replace(**change), SIGNATURE))


@needs_library
@pytest.mark.parametrize(
    ("account", "fees"), [("700000000000000002", FEES), (ACCOUNT, Fees(Decimal("0.0002"), Decimal("0.0006")))], ids=str
)
def test_account_and_fees_are_signed(account: str, fees: Fees):
    assert not ZkVerifier(account, L2_KEY, fees).is_genuine(ORDER, SIGNATURE)


@needs_library
def test_hex_that_is_no_signature_is_refused():
    """Of the right form, but no point of the curve."""
    assert not VERIFIER.is_genuine(ORDER, "0x" + "ff" * 64)


@needs_library
def test_the_venue_refuses_a_forged_order():
    """A price changed after signing."""
    bench = Bench()
    form = {**bench.form(price="60000"), "price": "59999"}
    assert "INVALID_L2_SIGNATURE" == bench.call("POST", "order", form)["key"]


@pytest.mark.parametrize("signature", ["", "0x", "0x" + "ab" * 63, "zz" * 64, "0x" + "AB" * 64])
def test_a_signature_of_another_form_is_refused(signature: str):
    """With the library or without it."""
    assert not VERIFIER.is_genuine(ORDER, signature)


@pytest.mark.usefixtures("without_library")
def test_without_the_library_the_form_is_enough(capfd: pytest.CaptureFixture[str]):
    """Which is said, once."""
    found = [VERIFIER.is_genuine(ORDER, "0x" + "ab" * 64) for _ in range(2)]
    assert ([True, True], 1) == (found, capfd.readouterr().err.count("shape only"))
