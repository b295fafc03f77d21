"""Claims on the table from refusals to verdicts."""

from __future__ import annotations

import pytest

from adapters.backpack.errors import Verdict, judge_refusal
from tests.adapters.backpack.support import PUBLIC_KEY, encoded, recorded

UNLISTED = {"SERVER_ERROR", "TIMEOUT"}


@pytest.mark.parametrize(
    ("status", "code", "message", "verdict", "named"),
    [
        (400, "INVALID_ORDER", "Order would immediately match and take liquidity", Verdict.TEMPORARY, "INVALID_ORDER"),
        (400, "INVALID_CLIENT_REQUEST", "Request has expired", Verdict.TEMPORARY, "EXPIRED_WINDOW"),
        (400, "INVALID_CLIENT_REQUEST", "Must specify both", Verdict.PERMANENT, "INVALID_CLIENT_REQUEST"),
        (400, "INVALID_PRICE", "Price is too far from the last active price", Verdict.TEMPORARY, "INVALID_PRICE"),
        (400, "INVALID_PRICE", "Price decimal too long", Verdict.PERMANENT, "INVALID_PRICE"),
        (400, "INVALID_SYMBOL", "no", Verdict.PERMANENT, "INVALID_SYMBOL"),
        (403, "FORBIDDEN", "no", Verdict.PERMANENT, "FORBIDDEN"),
        (401, "INVALID_SIGNATURE", "no", Verdict.PERMANENT, "INVALID_SIGNATURE"),
        (400, "INSUFFICIENT_MARGIN", "no", Verdict.PERMANENT, "INSUFFICIENT_MARGIN"),
        (429, "TOO_MANY_REQUESTS", "slow down", Verdict.TEMPORARY, "TOO_MANY_REQUESTS"),
        (408, "TIMEOUT", "no answer", Verdict.UNKNOWN, "TIMEOUT"),
        (400, "SERVER_ERROR", "oops", Verdict.UNKNOWN, "SERVER_ERROR"),
        (400, "NEW_CODE", "never seen", Verdict.UNKNOWN, "NEW_CODE"),
    ],
)
def test_a_coded_refusal_has_its_verdict(status: int, code: str, message: str, verdict: Verdict, named: str) -> None:
    """The code decides; where one code has two meanings its message does."""
    ruling = judge_refusal(status, encoded({"code": code, "message": message}))
    assert (verdict, named) == (ruling.verdict, ruling.code)


@pytest.mark.parametrize(
    ("status", "body", "verdict", "named"),
    [
        (400, b'parse request payload error: failed to parse "MarketSymbol": Invalid market symbol', Verdict.PERMANENT, "BAD_PAYLOAD"),
        (429, b"<html>slow down</html>", Verdict.TEMPORARY, "TOO_MANY_REQUESTS"),
        (403, b"<html>blocked</html>", Verdict.UNKNOWN, "HTTP_403"),
        (400, b"", Verdict.UNKNOWN, "HTTP_400"),
        (400, b"\xff\xfe", Verdict.UNKNOWN, "HTTP_400"),
        (302, b"moved", Verdict.UNKNOWN, "HTTP_302"),
        (400, b"[" * 100_000, Verdict.UNKNOWN, "HTTP_400"),
    ],
)  # fmt: skip
def test_a_text_refusal_is_unknown_unless_the_venue_is_recognised(status: int, body: bytes, verdict: Verdict, named: str) -> None:
    """A gateway's page says nothing about the order."""
    ruling = judge_refusal(status, body)
    assert (verdict, named) == (ruling.verdict, ruling.code)


def test_every_documented_code_but_two_is_in_the_table() -> None:
    """Only TIMEOUT and SERVER_ERROR leave the outcome open."""
    [codes] = [row["values"] for row in recorded("enums") if row["enum"] == "ApiErrorCode"]
    unknown = {code for code in codes if judge_refusal(400, encoded({"code": code, "message": ""})).verdict is Verdict.UNKNOWN}
    assert unknown == UNLISTED


def test_every_recorded_refusal_is_known() -> None:
    """Each recorded 4xx body is a certain refusal."""
    rows = [row for row in recorded("errors") if isinstance(row["status"], int) and row["status"] < 500]
    bodies = [row["body"].encode() if isinstance(row["body"], str) else encoded(row["body"]) for row in rows]
    verdicts = [judge_refusal(row["status"], body).verdict for row, body in zip(rows, bodies, strict=True)]
    assert Verdict.UNKNOWN not in verdicts


def test_a_reason_holds_no_key_that_the_venue_echoed() -> None:
    """Anything as long as a key is cut out of JSON and of plain text."""
    coded = judge_refusal(400, encoded({"code": "INVALID_SIGNATURE", "message": f"bad key {PUBLIC_KEY}"}))
    plain = judge_refusal(400, f"bad key {PUBLIC_KEY}".encode())
    assert [PUBLIC_KEY[:32] in ruling.reason for ruling in (coded, plain)] == [False, False]
