"""secretd: starts the daemon, or checks its configuration.

Puts the rooms together; everything else is theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from secretd import __version__
from secretd.addresses import NATIVE_SOCKETS
from secretd.core.access import Access, owner_only
from secretd.core.quota import Amount
from secretd.core.sealing import Seal
from secretd.core.service import Service
from secretd.crypto.slots import SlotLocation
from secretd.daemon import config, logs
from secretd.daemon.accounts import raise_descriptor_limit
from secretd.daemon.config import Config
from secretd.daemon.hardening import harden, report
from secretd.daemon.paths import require_runtime
from secretd.daemon.server import Server
from secretd.daemon.sockets import RuntimeDirectory, check_socket_paths
from secretd.doors.border import unforeseen
from secretd.doors.native import NativeSession
from secretd.errors import ConfigError, ExitStatus, SecretdError, StoreError
from secretd.model import MemoryStatus, Mode, SlotKind
from secretd.store.base import Store
from secretd.store.registry import open_store

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run secretd; gives the exit status."""
    options = _parser().parse_args(arguments)
    logs.set_up(logging.INFO)
    try:
        settings = _settings(options)
        if options.check_config:
            sys.stdout.write(f"{settings.source}: the configuration is valid\n")
            return ExitStatus.OK
        logs.set_up(settings.log_level)
        asyncio.run(_run(settings))
    except SecretdError as error:
        sys.stderr.write(f"secretd: {error.message}\n")
        return error.exit_status
    except Exception as error:  # noqa: BLE001  # the process border
        sys.stderr.write(f"secretd: {unforeseen(error).message}\n")
        return ExitStatus.FAILED
    return ExitStatus.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="secretd", description="The secrets daemon for a virtualisation host.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--system", action="store_true", help="serve the whole host (the default for root)")
    mode.add_argument("--session", action="store_true", help="serve the user who starts it (the default for others)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="read the configuration from FILE")
    parser.add_argument("--check-config", action="store_true", help="check the configuration and exit")
    parser.add_argument("--runtime-dir", type=Path, metavar="DIR", help="make the sockets in DIR")
    parser.add_argument("--version", action="version", version=f"secretd {__version__}")
    return parser


def _settings(options: argparse.Namespace) -> Config:
    mode = Mode.SYSTEM if options.system or (os.geteuid() == 0 and not options.session) else Mode.SESSION
    if mode is Mode.SYSTEM and os.geteuid() != 0:
        raise ConfigError("system mode is for root: start it as root, or use --session")
    settings = config.load(mode, options.config)
    if options.runtime_dir is not None:
        settings = replace(settings, runtime=options.runtime_dir.absolute())
    if settings.runtime is not None:
        check_socket_paths(settings.runtime)
    return settings


async def _run(settings: Config) -> None:
    """Serve until a signal ends it."""
    memory = harden()
    raise_descriptor_limit()
    asyncio.get_running_loop().set_exception_handler(_report)
    stopping = _stop_signals()
    with RuntimeDirectory(require_runtime(settings.runtime), settings.mode) as runtime:
        store = await _open_store(settings.store_url)
        try:
            await _serve(settings, runtime, store, stopping, memory)
        finally:
            await store.close()
            _ignore_signals()


async def _open_store(url: str) -> Store:
    try:
        return await open_store(url)
    except StoreError as error:
        raise type(error)(f"{error.message} (store.url is {url})") from None


async def _serve(
    settings: Config, runtime: RuntimeDirectory, store: Store, stopping: asyncio.Event, memory: MemoryStatus
) -> None:
    report(memory)
    seal = Seal(store, settings.keyring_directory, _slot_locations(settings), os.geteuid())
    service = _service(settings, store, seal, memory)
    door = partial(NativeSession, service)
    server = Server(seal, service.unsealed)
    # Tried before anybody can ask, so that the first client of a healthy daemon never meets a sealed one.
    await server.unseal()
    unsealing = asyncio.create_task(server.keep_unsealing())
    try:
        for kind in NATIVE_SOCKETS:
            server.listen(runtime.listen(kind), kind, door)
        _log.info("ready", extra={"mode": settings.mode.value, "version": __version__, "pid": os.getpid()})
        await stopping.wait()
        _log.info("stopping")
        await server.drain()
    finally:
        unsealing.cancel()
        await service.stop()
        seal.wipe()


def _service(settings: Config, store: Store, seal: Seal, memory: MemoryStatus) -> Service:
    access = Access(owner_only(settings.mode, os.geteuid()))
    return Service(settings.mode, access, seal, store, memory, Amount(settings.quota_secrets, settings.quota_bytes))


def _slot_locations(settings: Config) -> tuple[SlotLocation, ...]:
    directories = {SlotKind.LOCAL_FILE: settings.root_key_directory}
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials:
        directories[SlotKind.CREDENTIAL] = Path(credentials)
    return tuple(SlotLocation(kind, directories[kind]) for kind in settings.slots if kind in directories)


def _report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Put what ended a callback or a task into the log, without its text, which asyncio would print."""
    error = context.get("exception")
    if isinstance(error, BaseException):
        unforeseen(error)
    else:
        _log.error("event loop", extra={"said": context.get("message")})


def _stop_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def _ignore_signals() -> None:
    # The loop is about to give them back their defaults, and a second SIGTERM would then end us half way.
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
