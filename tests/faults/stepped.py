"""A bot that says at which step it is, and holds still at one of them (adapters/steps.py)."""

from __future__ import annotations

import select
import socket
import time
from pathlib import Path

from adapters.steps import FD_NAME, HOLD_NAME
from tests.process.kit import PATIENCE_S, Bot, World


class SteppedBot(Bot):
    """``hold_at``: STEP:N, where the thread that comes there waits for ``release``."""

    def __init__(self, folder: Path, arguments: list[str], environment: dict[str, str], hold_at: str) -> None:
        self._steps, theirs = socket.socketpair()
        self._heard = b""
        told = {FD_NAME: str(theirs.fileno()), HOLD_NAME: hold_at}
        with theirs:
            super().__init__(folder, arguments, {**environment, **told}, pass_fds=(theirs.fileno(),))

    @property
    def steps(self) -> list[str]:
        """Every step so far, in order."""
        while select.select([self._steps], [], [], 0)[0]:
            more = self._steps.recv(65536)
            if not more:
                break
            self._heard += more
        return self._heard.decode().split("\n")[:-1]

    def until_at(self, step: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while step not in self.steps:
            assert time.monotonic() < deadline, f"never came to {step}: {self.steps}"
            assert self.is_running, f"ended before {step}: {self.steps}, {self.stderr}"
            select.select([self._steps], [], [], 0.05)

    def release(self) -> None:
        """Let it go on, whether it has come to its step or not; it may have been killed."""
        self._steps.shutdown(socket.SHUT_WR)


def start_stepped(world: World, hold_at: str) -> SteppedBot:
    arguments = ["run", str(world.config), "--env-file", str(world.env_file)]
    bot = SteppedBot(world.folder / f"bot{len(world._bots)}", arguments, world.environment, hold_at)
    world._bots.append(bot)
    return bot
