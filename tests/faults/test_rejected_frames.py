"""A frame of the account that cannot be read may have been the only word of a fill (RELIABILITY.md B4-B7, B3)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from core.messages import FetchPosition, FrameRejected
from core.routing import RECORDER
from core.types import Channel
from tests.faults.house import House
from tests.faults.rig import assert_adds_up, quicken, running, until, without_audits


def test_the_account_is_read_when_one_of_its_frames_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, while the stream stays as it is."""
    quicken(monkeypatch)
    without_audits(monkeypatch)
    house = House()
    reads: list[FetchPosition] = []
    genuine = house.hedge.fetch_position
    monkeypatch.setattr(house.hedge, "fetch_position", lambda command: (reads.append(command), genuine(command))[1])
    with running(tmp_path, house, monkeypatch) as run:
        run.until_active()
        settled = run.handled(RECORDER) + 30
        until(lambda: run.handled(RECORDER) > settled, "the reads of the start to be over")
        before = len(reads)
        rejected = FrameRejected(venue=house.hedge.name, channel=Channel.ACCOUNT, reason="planted", head="{", at=time.monotonic())
        house.hedge.stream(Channel.ACCOUNT).frames.put(rejected)
        until(lambda: len(reads) > before, "a read of the account")
        assert 0 == run.end()
    assert_adds_up(house)
