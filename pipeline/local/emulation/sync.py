"""The sync loop: registered targets into the balancer's slots, the balancer's checks back into target health."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from pipeline.local.balancer import RuntimeApi, Slot, Target, seat
from pipeline.local.emulation.ground import Emulator
from pipeline.local.emulation.targets import HealthBoard, groups_by_place, monotonic, wanted_targets
from pipeline.local.launch import LaunchSettings

EVERY_SECONDS = 0.15
DONE = ("IP changed", "port changed", "no need to change")
logger = logging.getLogger("onedigest.balancer")


class BalancerSync:
    """Drives HAProxy. A call that fails keeps the last pool, and the next round starts from what HAProxy says."""

    def __init__(self, emulator: Emulator, board: HealthBoard, settings: LaunchSettings) -> None:
        """`settings` has the runtime API's port and the environments' backends."""
        self._emulator = emulator
        self._board = board
        self._backends = settings.backends
        self._api = RuntimeApi(settings.balancer_port)
        self._seated: dict[str, dict[str, Target]] = {}
        self.trouble = "not asked yet"

    def start(self) -> None:
        """Runs the loop on a daemon thread."""
        threading.Thread(target=self._run, daemon=True, name="onedigest-balancer").start()

    def _run(self) -> None:
        while True:
            try:
                self.once()
                self._note("")
            except (OSError, ValueError) as error:
                self._note(f"HAProxy does not answer: {error}")
            except Exception:
                logger.exception("sync round failed")
            time.sleep(EVERY_SECONDS)

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            logger.warning("balancer: %s", trouble or "answers")
        self.trouble = trouble

    def once(self) -> None:
        """One round over every environment."""
        wanted = self._wanted()
        slots = self._api.slots()
        commands = []
        for environment, backend in self._backends.items():
            orders, seats = seat(
                backend, slots.get(backend, {}), self._seated.get(backend, {}), wanted[environment]
            )
            commands += orders
            self._seated[backend] = seats
        if commands:
            self._send(commands)
            slots = self._api.slots()
        self._publish(wanted, slots)

    def _send(self, commands: list[str]) -> None:
        for command in commands:
            logger.info("balancer: %s", command)
            answer = self._api.ask(command).strip()
            if answer and not answer.startswith(DONE):
                logger.warning("balancer answered %r to %r", answer, command)

    def _wanted(self) -> dict[str, list[Target]]:
        groups = groups_by_place(self._emulator)
        wanted: dict[str, list[Target]] = {}
        for environment in self._backends:
            wanted[environment] = []
            if environment in groups:
                account, region, arn = groups[environment]
                with self._emulator.scope(account, region):
                    wanted[environment] = wanted_targets(self._emulator, arn)
        return wanted

    def _publish(self, wanted: Mapping[str, list[Target]], slots: Mapping[str, Mapping[str, Slot]]) -> None:
        now = monotonic()
        for environment, backend in self._backends.items():
            self._board.publish(slots.get(backend, {}), self._seated[backend], wanted[environment], now)
        self._board.forget(target for targets in wanted.values() for target in targets)
