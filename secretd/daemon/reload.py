"""Reading the configuration again, on SIGHUP.

The file is checked whole, as at the start, before anything of it is put in force; one that cannot be used changes
nothing.  What cannot change under a running daemon stays as it was, and the log names it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from secretd.daemon.config import Config, differing, reloaded
from secretd.daemon.notify import Manager
from secretd.errors import ConfigError

_log = logging.getLogger(__name__)


class Reloading:
    """The settings in force, and how they are read again."""

    def __init__(self, settings: Config, load: Callable[[], Config], apply: Callable[[Config], None]) -> None:
        """Begin with the settings that the daemon was started with.

        Args:
            settings: these.
            load: reads them anew, in the same way.
            apply: puts in force what of them can be.
        """
        self._in_force = settings
        self._load = load
        self._apply = apply

    async def keep_reloading(self, asked: asyncio.Event, manager: Manager, status: Callable[[], str]) -> None:
        """Read the configuration again whenever that is asked for; however often meanwhile, once.

        Args:
            asked: is set by who wants it.
            manager: is told.
            status: says for people how the daemon is.
        """
        while True:
            await asked.wait()
            asked.clear()
            await manager.reloading()
            doubt = "" if self.reload() else "; the new configuration cannot be used"
            await manager.ready(status() + doubt)

    def reload(self) -> bool:
        """Read the configuration again; say whether it can be used."""
        try:
            new = self._load()
        except ConfigError as error:
            _log.error("the new configuration cannot be used, the old one stays", extra={"reason": error.message})
            return False
        before, self._in_force = self._in_force, reloaded(self._in_force, new)
        self._apply(self._in_force)
        _log.info("configuration read again", extra={"changed": differing(before, self._in_force)})
        waiting = differing(self._in_force, new)
        if waiting:
            _log.warning("settings were changed that need a restart", extra={"settings": waiting})
        return True
