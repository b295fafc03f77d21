"""A world with one venue in it and a bracket run on it: what the bot said of its pair, what the venue holds, how the market is moved."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.process.kit import ROOT, Bot, World, until


class BracketWorld(World):
    """``config``: of ``configs/``; ``edits``: what of its text is another's here, so that both legs are far from the market."""

    def __init__(self, folder: Path, venue: str, symbol: str, config: str, edits: dict[str, str]) -> None:
        self.venue = venue
        self._symbol = symbol
        self._text = (ROOT / "configs" / config).read_text()
        for old, new in edits.items():
            assert old in self._text, old
            self._text = self._text.replace(old, new)
        super().__init__(folder, "--venues", venue)

    def write_config(self, *, iterations: int = 1, change: Callable[[str], str] = str, closed: str = "") -> None:
        urls = "".join(f'{key} = "{url}"\n' for key, url in self.venues.directory[self.venue].items())
        text = change(self._text.replace("iterations = 1", f"iterations = {iterations}"))
        self.config.write_text(f"{text}\n[venues.{self.venue}.endpoints]\n{urls}")

    def states(self) -> list[str]:
        return [line["state"] for line in self.log("PairStateChanged")]

    def until_armed(self, times: int = 1) -> None:
        until(lambda: self.states().count("ARMED") >= times, "the pair to be armed")

    def trick(self, name: str, **body: Any) -> None:
        self.venues.post("/trick", venue=self.venue, name=name, **body)

    def move_to(self, price: str) -> None:
        self.trick("force_price", symbol=self._symbol, price=price)

    def position(self) -> Decimal:
        fills = self.venues.get("/ledger")[self.venue]["fills"]
        return sum((Decimal(fill["quantity"]) * (1 if fill["side"] == "BUY" else -1) for fill in fills), Decimal(0))

    def open_at_venue(self) -> list[dict[str, Any]]:
        return [order for order in self.venues.get("/ledger")[self.venue]["orders"] if order["status"] == "OPEN"]

    def leg(self, role: str) -> dict[str, Any]:
        """The last that the bot said of its newest leg of that role."""
        legs = [line["order"] for line in self.log("OrderChanged") if line["order"]["role"] == role]
        return dict(legs[-1])

    def assert_ended_flat(self, bot: Bot) -> None:
        code = bot.wait()
        assert (0, Decimal(0), []) == (code, self.position(), self.open_at_venue()), bot.stdout + bot.stderr
