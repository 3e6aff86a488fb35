"""The configuration: secretd.toml, validated whole before anything is touched.

An unknown section or key is an error that names it, so a misspelt setting never passes for a default.
docs/configuration.md lists the settings; a test compares.
"""

from __future__ import annotations

import logging
import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from secretd import limits
from secretd.addresses import LibvirtPlace
from secretd.daemon.paths import Directories, directories
from secretd.errors import ConfigError, StoreCorruptError
from secretd.model import Mode, SlotKind
from secretd.store.durable import open_regular
from secretd.store.registry import check_url

FILE_NAME = "secretd.toml"
_NUMBER_MOST = 2**63 - 1

_Check = Callable[[str, Any], Any]
_Section = dict[str, tuple[str, _Check]]

_TAKEN_ON = ("log_level", "quota_secrets", "quota_bytes", "kdf_memory", "kdf_iterations")
"""What can change under a running daemon."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one daemon.

    Attributes:
        mode: whom it serves.
        source: the file that was read, or looked for and not there.
        runtime: the directory of its sockets; None if there is none yet.
        store_url: where the sealed records live.
        keyring_directory: where the second copies of keyring and slots live.
        slots: the kinds of slot that may open the keyring, in the order they are tried.
        root_key_directory: the directory of the local-file slot's file, root.key.
        log_level: a level of logging.
        quota_secrets, quota_bytes: what one uid but root may have stored.
        kdf_memory, kdf_iterations: what a key file that is imported may ask for, in bytes and of PBKDF2.
        libvirt_sockets: where the sockets for libvirt's clients are.
    """

    mode: Mode
    source: Path
    runtime: Path | None
    store_url: str
    keyring_directory: Path
    root_key_directory: Path
    slots: tuple[SlotKind, ...] = field(default=(SlotKind.CREDENTIAL, SlotKind.LOCAL_FILE))
    log_level: int = logging.INFO
    quota_secrets: int = limits.QUOTA_SECRETS
    quota_bytes: int = limits.QUOTA_BYTES
    kdf_memory: int = limits.KDF_MEMORY_BYTES
    kdf_iterations: int = limits.KDF_ITERATIONS
    libvirt_sockets: LibvirtPlace = LibvirtPlace.OWN


def load(mode: Mode, path: Path | None = None) -> Config:
    """Read the configuration of a daemon.

    Args:
        mode: whom it serves; decides the defaults.
        path: the file; None for the mode's own, which may be missing.

    Raises:
        ConfigError: the file cannot be read, or says what it may not; names the place.
    """
    places = directories(mode)
    file = path or places.config / FILE_NAME
    defaults = _defaults(mode, file, places)
    text = _read(file, required=path is not None)
    try:
        return replace(defaults, **_changes(_parse(text)))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}") from None


def reloaded(in_force: Config, new: Config) -> Config:
    """Give the settings in force with what of the new ones a running daemon can take on."""
    return replace(in_force, **{name: getattr(new, name) for name in _TAKEN_ON})


def differing(one: Config, other: Config) -> list[str]:
    """Give the names of the settings that are not the same, as ``section.key``."""
    return [
        f"{section}.{key}"
        for section, known in _SETTINGS.items()
        for key, (name, _) in known.items()
        if getattr(one, name) != getattr(other, name)
    ]


def _changes(settings: dict[str, Any]) -> dict[str, Any]:
    changes = {}
    for section, members in settings.items():
        known = _section(section, members)
        for key, value in members.items():
            name, check = _setting(section, known, key)
            changes[name] = check(f"{section}.{key}", value)
    return changes


def _defaults(mode: Mode, source: Path, places: Directories) -> Config:
    return Config(
        mode=mode,
        source=source,
        runtime=places.runtime,
        store_url=f"sqlite://{quote(str(places.data / 'store'))}",
        keyring_directory=places.data / "keyring",
        root_key_directory=places.config,
    )


def _read(path: Path, *, required: bool) -> str:
    try:
        with open_regular(path) as file:
            _check_owner(path, os.fstat(file.fileno()))
            data = file.read(limits.CONFIG_BYTES + 1)
        if len(data) > limits.CONFIG_BYTES:
            raise ConfigError(f"{path} has more than {limits.CONFIG_BYTES} bytes")
        return data.decode()
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path} does not exist") from None
        return ""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except StoreCorruptError:
        raise ConfigError(f"{path} cannot be read: it is no regular file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8") from None


def _check_owner(path: Path, status: os.stat_result) -> None:
    # Whoever writes the configuration says where the keys are.
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{path} can be written by others: run chmod go-w, and make it root's or yours")


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is not TOML: {error}") from None
    except (ValueError, RecursionError):
        raise ConfigError("this is not TOML: a number is too long, or it is nested too deeply") from None


def _section(section: str, members: object) -> _Section:
    if not isinstance(members, dict):
        raise ConfigError(f"'{section}' is not a setting by itself: settings stand in the sections {_SECTIONS}")
    if section not in _SETTINGS:
        raise ConfigError(f"there is no section [{section}]: there are {_SECTIONS}")
    return _SETTINGS[section]


def _setting(section: str, known: _Section, key: str) -> tuple[str, _Check]:
    if key not in known:
        raise ConfigError(f"there is no setting '{key}' in [{section}]: there are {', '.join(known)}")
    return known[key]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} is a text in quotes")
    return value


def _absolute_path(name: str, value: object) -> Path:
    path = Path(_text(name, value))
    if not path.is_absolute() or "\0" in str(path):
        raise ConfigError(f"{name} is an absolute path")
    return path


def _store_url(name: str, value: object) -> str:
    url = _text(name, value)
    try:
        check_url(url)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.message}") from None
    return url


def _slots(name: str, value: object) -> tuple[SlotKind, ...]:
    known = {kind.value: kind for kind in SlotKind}
    if not isinstance(value, list) or not value or not all(isinstance(kind, str) and kind in known for kind in value):
        raise ConfigError(f"{name} is a list of one or more of {', '.join(known)}")
    return tuple(known[kind] for kind in value)


def _libvirt_place(name: str, value: object) -> LibvirtPlace:
    known = {place.value: place for place in LibvirtPlace}
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{name} is one of {', '.join(known)}")
    return known[value]


def _number(name: str, value: object) -> int:
    # A bool is an int, and none that anybody means here.
    if type(value) is not int or not 0 <= value <= _NUMBER_MOST:
        raise ConfigError(f"{name} is a whole number, not negative")
    return value


def _kdf_memory(name: str, value: object) -> int:
    return _at_most(limits.KDF_MEMORY_CONFIGURED, name, value)


def _kdf_iterations(name: str, value: object) -> int:
    return _at_most(limits.KDF_ITERATIONS_CONFIGURED, name, value)


def _at_most(most: int, name: str, value: object) -> int:
    number = _number(name, value)
    if number > most:
        raise ConfigError(f"{name} is at most {most}")
    return number


def _log_level(name: str, value: object) -> int:
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
    if not isinstance(value, str) or value not in levels:
        raise ConfigError(f"{name} is one of {', '.join(levels)}")
    return levels[value]


_SETTINGS: dict[str, _Section] = {
    "daemon": {
        "runtime-directory": ("runtime", _absolute_path),
        "log-level": ("log_level", _log_level),
    },
    "store": {
        "url": ("store_url", _store_url),
    },
    "seal": {
        "slots": ("slots", _slots),
        "root-key-directory": ("root_key_directory", _absolute_path),
        "keyring-directory": ("keyring_directory", _absolute_path),
    },
    "quota": {
        "secrets": ("quota_secrets", _number),
        "bytes": ("quota_bytes", _number),
    },
    "keys": {
        "kdf-memory": ("kdf_memory", _kdf_memory),
        "kdf-iterations": ("kdf_iterations", _kdf_iterations),
    },
    "libvirt": {
        "sockets": ("libvirt_sockets", _libvirt_place),
    },
}
_SECTIONS = ", ".join(f"[{section}]" for section in _SETTINGS)

SETTINGS: tuple[str, ...] = tuple(f"{section}.{key}" for section, keys in _SETTINGS.items() for key in keys)
"""Every setting, as ``section.key``."""
