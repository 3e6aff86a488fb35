"""The engines that the contract's suite runs on. An engine is done when it passes unchanged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.model_store import ModelStore
from secretd.store.base import Store
from secretd.store.registry import open_store


@dataclass(frozen=True)
class Engine:
    """An engine, and how a test gets a store of it.

    Attributes:
        open: opens the store in a directory, the same one each time.
        durable: what was in the store is there when it is opened again.
    """

    name: str
    open: Callable[[Path], Awaitable[Store]]
    durable: bool = True


async def _open_sqlite(directory: Path) -> Store:
    return await open_store(f"sqlite://{directory}/store")


async def _open_model(directory: Path) -> Store:
    return await ModelStore.open(str(directory))


ENGINES = (
    Engine("sqlite", _open_sqlite),
    Engine("model", _open_model, durable=False),
)
