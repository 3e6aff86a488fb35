"""secretd: starts the daemon, or checks its configuration.

Puts the rooms together; everything else is theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from secretd import __version__
from secretd.addresses import LIBVIRT_SOCKETS, NATIVE_SOCKETS, SocketKind, default_mode, libvirt_directory
from secretd.core.access import Access, granted, owner_only
from secretd.core.grantstore import Grants
from secretd.core.quota import Amount
from secretd.core.sealing import Seal
from secretd.core.service import Service
from secretd.crypto.pbskey import KdfBounds
from secretd.crypto.slots import SlotLocation
from secretd.daemon import config, logs
from secretd.daemon.accounts import raise_descriptor_limit
from secretd.daemon.activation import PassedSockets, take_sockets
from secretd.daemon.config import Config
from secretd.daemon.hardening import harden, report
from secretd.daemon.idle import until_idle
from secretd.daemon.notify import Manager
from secretd.daemon.process import peer_status
from secretd.daemon.reload import Reloading
from secretd.daemon.server import Server
from secretd.daemon.signals import Signals
from secretd.daemon.sockets import OwnSockets, check_places, places
from secretd.daemon.token import SystemToken
from secretd.doors.border import unforeseen
from secretd.doors.libvirt import LibvirtSession
from secretd.doors.libvirt_connection import Host
from secretd.doors.native import NativeSession
from secretd.errors import ConfigError, ExitStatus, SecretdError, StoreError
from secretd.model import MemoryStatus, Mode, SealState, SlotKind
from secretd.store.base import Store
from secretd.store.registry import open_store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Start:
    """What a daemon is started with.

    Attributes:
        settings: its configuration.
        load: reads that again.
        manager: who is told how it goes.
        passed: the sockets that were handed over; None if the daemon makes its own.
        timeout_s: how long it may be idle; None if for ever.
    """

    settings: Config
    load: Callable[[], Config]
    manager: Manager
    passed: PassedSockets | None
    timeout_s: int | None


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
        manager, passed = Manager.take(os.environ), take_sockets(places(settings), os.environ)
        asyncio.run(_run(_Start(settings, partial(_settings, options), manager, passed, options.timeout)))
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
    parser.add_argument(
        "--timeout",
        type=_timeout,
        metavar="SECONDS",
        help="end when idle for so long, if systemd handed over the sockets",
    )
    parser.add_argument(
        "--version", action="version", version=f"secretd {__version__}", help="say the version and exit"
    )
    return parser


def _timeout(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a daemon is idle for a whole number of seconds, at least 1")
    return int(text)


def _settings(options: argparse.Namespace) -> Config:
    mode = Mode.SYSTEM if options.system else Mode.SESSION if options.session else default_mode()
    if mode is Mode.SYSTEM and os.geteuid() != 0:
        raise ConfigError("system mode is for root: start it as root, or use --session")
    settings = config.load(mode, options.config)
    if options.runtime_dir is not None:
        settings = replace(settings, runtime=options.runtime_dir.absolute())
    check_places(places(settings))
    return settings


async def _run(start: _Start) -> None:
    """Serve until a signal ends it, or it was idle for long enough."""
    memory = harden()
    raise_descriptor_limit()
    asyncio.get_running_loop().set_exception_handler(_report)
    signals = Signals()
    with start.passed or OwnSockets(places(start.settings), start.settings.mode) as sockets:
        store = await _open_store(start.settings.store_url)
        try:
            await _serve(start, sockets, store, signals, memory)
        finally:
            await store.close()
            signals.ignore()


async def _open_store(url: str) -> Store:
    try:
        return await open_store(url)
    except StoreError as error:
        raise type(error)(f"{error.message} (store.url is {url})") from None


async def _serve(
    start: _Start, sockets: OwnSockets | PassedSockets, store: Store, signals: Signals, memory: MemoryStatus
) -> None:
    report(memory)
    settings = start.settings
    seal = Seal(store, settings.keyring_directory, _slot_locations(settings), os.geteuid())
    service = _service(settings, store, seal, memory)
    server = Server(seal, service.unsealed)
    service.watch_bounds(server.bounds)
    # Tried before anybody can ask, so that the first client of a healthy daemon never meets a sealed one.
    await server.unseal()
    beside: list[asyncio.Task[None]] = []
    try:
        _listen(server, sockets, service, settings.mode)
        _log.info("ready", extra={"mode": settings.mode.value, "version": __version__, "pid": os.getpid()})
        await start.manager.ready(_status(seal))
        beside.extend(map(asyncio.create_task, _beside(start, server, service, seal, signals)))
        await signals.stop.wait()
        _log.info("stopping")
        await start.manager.stopping()
        await server.drain()
    finally:
        for task in beside:
            task.cancel()
        await service.stop()
        seal.wipe()


def _listen(server: Server, sockets: OwnSockets | PassedSockets, service: Service, mode: Mode) -> None:
    for kind, listener in _listeners(sockets, NATIVE_SOCKETS):
        server.listen(listener, kind, partial(NativeSession, service))
    of_libvirt = _listeners(sockets, LIBVIRT_SOCKETS)
    if of_libvirt:
        host = Host(service, mode, SystemToken(libvirt_directory(mode), mode).verify)
        for kind, listener in of_libvirt:
            server.listen(listener, kind, partial(LibvirtSession, host))


def _listeners(
    sockets: OwnSockets | PassedSockets, kinds: Iterable[SocketKind]
) -> list[tuple[SocketKind, socket.socket]]:
    """Give those of these sockets that are served."""
    return [(kind, listener) for kind in kinds if (listener := sockets.listen(kind)) is not None]


def _beside(
    start: _Start, server: Server, service: Service, seal: Seal, signals: Signals
) -> Iterator[Coroutine[Any, Any, None]]:
    """Give what goes on beside serving, until the daemon ends."""
    status = partial(_status, seal)
    if seal.status.state is SealState.SEALED:
        yield _keep_unsealing(server, start.manager, status)
    yield start.manager.keep_alive()
    reloading = Reloading(start.settings, start.load, partial(_apply, service))
    yield reloading.keep_reloading(signals.reload, start.manager, status)
    if start.timeout_s is None:
        return
    if start.passed is None:
        _log.warning("no sockets were handed over: nobody would start an idle daemon again, so it does not end")
        return
    yield _end_when_idle(server, service, start.timeout_s, signals.stop)


async def _keep_unsealing(server: Server, manager: Manager, status: Callable[[], str]) -> None:
    await server.keep_unsealing()
    await manager.status(status())


async def _end_when_idle(server: Server, service: Service, timeout_s: int, stop: asyncio.Event) -> None:
    await until_idle(server, lambda: service.busy, timeout_s)
    stop.set()


def _status(seal: Seal) -> str:
    """Say in a line for everybody on the host how the daemon is."""
    return "Serving" if seal.status.state is SealState.OPEN else "Sealed: secretctl status says why"


def _apply(service: Service, settings: Config) -> None:
    """Put in force what a configuration that was read again may change."""
    logs.set_up(settings.log_level)
    service.set_quota(_quota(settings))
    service.set_kdf_bounds(_kdf_bounds(settings))


def _service(settings: Config, store: Store, seal: Seal, memory: MemoryStatus) -> Service:
    owner = owner_only(settings.mode, os.geteuid())
    grants = Grants(store, seal)
    # A session's daemon serves its user alone, whatever stands in its store.
    access = Access(owner)
    if settings.mode is Mode.SYSTEM:
        access = Access(granted(owner, lambda: grants.rules), owner, grants.require_in_force)
    service = Service(settings.mode, access, seal, store, grants, memory, _quota(settings), peer_status())
    service.set_kdf_bounds(_kdf_bounds(settings))
    return service


def _quota(settings: Config) -> Amount:
    return Amount(settings.quota_secrets, settings.quota_bytes)


def _kdf_bounds(settings: Config) -> KdfBounds:
    return KdfBounds(settings.kdf_memory, settings.kdf_iterations)


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
