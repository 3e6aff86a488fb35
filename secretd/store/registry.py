"""Which engine serves which URL scheme; an engine's code, and its libraries, are loaded when it is used."""

from __future__ import annotations

import re
from importlib import import_module

from secretd.errors import ConfigError
from secretd.store.base import Store

_ENGINES = {
    "sqlite": "secretd.store.sqlite:SqliteStore",
}

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)


async def open_store(url: str) -> Store:
    """Open the store that ``url`` names, and make it if it is not there.

    Args:
        url: for example ``sqlite:///var/lib/secretd/store``.

    Raises:
        ConfigError: the URL is malformed or of an unknown scheme, or another daemon uses the store.
        StoreUnavailableError: the store cannot be reached, or a newer secretd wrote it.
        StoreCorruptError: what is there is no store.
    """
    engine, location = _split(url)
    return await engine.open(location)


def check_url(url: str) -> None:
    """Refuse a URL that can name no store, without looking for one.

    Raises:
        ConfigError: the URL is malformed or of an unknown scheme.
    """
    engine, location = _split(url)
    engine.check_location(location)


def _split(url: str) -> tuple[type[Store], str]:
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigError("a store is named by a URL, for example sqlite:///var/lib/secretd/store")
    scheme, location = match.groups()
    if scheme not in _ENGINES:
        raise ConfigError(f"there is no store of the kind {scheme!r}; known are: {', '.join(sorted(_ENGINES))}")
    return _engine(_ENGINES[scheme]), location


def _engine(import_path: str) -> type[Store]:
    module, name = import_path.split(":")
    engine = getattr(import_module(module), name)
    if not (isinstance(engine, type) and issubclass(engine, Store)):
        raise RuntimeError("the table of engines names what is no store")
    return engine
