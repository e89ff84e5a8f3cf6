"""A standby master: waits until the database has no master, and says so meanwhile."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from piwheels.config import Config
from piwheels.db.standby import wait_for_no_master
from piwheels.protocol.messages import CommandFailed, Reply, Request
from piwheels.protocol.sockets import Router
from piwheels.system.sdnotify import sd_notify, watchdog_interval_s

log = logging.getLogger(__name__)

_NOTIFY_INTERVAL_S = 10.0


@dataclass(slots=True)
class Standby:
    """Answers commands with where the master is, until this one is needed."""

    config: Config
    _state: str = "looking for the master"

    async def wait(self, control: Router[Request, Reply]) -> None:
        """Return when no master uses the database.

        Args:
            control: a router that is not bound yet; closed on return.

        Raises:
            ConfigError: the control socket cannot be bound.
            DatabaseError: the DSN is malformed.
        """
        async with AsyncExitStack() as stack:
            stack.callback(control.close)
            control.bind(self.config.master.control_bind)
            for service in (self._answer(control), self._notify_systemd()):
                stack.callback(asyncio.create_task(service).cancel)
            sd_notify("READY=1")
            await wait_for_no_master(self.config.database.dsn, self._on_state)
        log.info("no master uses the database: taking over")

    def _on_state(self, state: str) -> None:
        if state != self._state:
            log.info("standby: %s", state)
            self._state = state
            self._send_status()

    def _send_status(self) -> None:
        sd_notify(f"WATCHDOG=1\nSTATUS=standby: {self._state}")

    async def _notify_systemd(self) -> None:
        every_s = min(watchdog_interval_s() or _NOTIFY_INTERVAL_S, _NOTIFY_INTERVAL_S)
        while True:
            self._send_status()
            await asyncio.sleep(every_s)

    async def _answer(self, control: Router[Request, Reply]) -> None:
        while True:
            request = await control.receive()
            reason = f"this master is a standby ({self._state}): ask the one that runs"
            failed = CommandFailed(reason=reason)
            await control.send(
                request.peer, Reply(request_id=request.message.request_id, body=failed)
            )
