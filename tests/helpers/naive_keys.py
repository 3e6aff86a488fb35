"""Keys as docs/keys.md tells of them, and nothing else: what the daemon's are held against."""

from __future__ import annotations

from dataclasses import dataclass, field

from secretd.keys import KeyId
from secretd.lifecycle import ReferenceKind

DAY_S = 86_400


@dataclass
class NaiveKey:
    """A key of which everything is written down as it was asked for."""

    description: str | None = None
    disabled: bool = False
    archived: bool = False
    due: int | None = None
    references: dict[str, ReferenceKind] = field(default_factory=dict)
    uses: list[int] = field(default_factory=lambda: [0])

    @property
    def state(self) -> str:
        if self.due is not None:
            return "pending-deletion"
        if self.archived:
            return "archived"
        return "disabled" if self.disabled else "enabled"


class NaiveKeys:
    """All keys. Each request gives the code that it is refused with, or None."""

    def __init__(self) -> None:
        self.keys: dict[KeyId, NaiveKey] = {}
        self.gone: set[KeyId] = set()
        self.default: KeyId | None = None

    def create(self, key: KeyId) -> str | None:
        if key in self.keys or key in self.gone:
            return "conflict"
        self.keys[key] = NaiveKey()
        return None

    def update(self, key: KeyId, description: str) -> str | None:
        refused = self._refused(key, "enabled", "disabled", "archived")
        if refused is None:
            self.keys[key].description = description
        return refused

    def enable(self, key: KeyId) -> str | None:
        refused = self._refused(key, "disabled")
        if refused is None:
            self.keys[key].disabled = False
        return refused

    def disable(self, key: KeyId) -> str | None:
        refused = self._refused(key, "enabled")
        if refused is None:
            self.keys[key].disabled = True
        return refused

    def rotate(self, key: KeyId) -> str | None:
        refused = self._refused(key, "enabled")
        if refused is None:
            self.keys[key].uses.append(0)
        return refused

    def archive(self, key: KeyId) -> str | None:
        refused = self._refused(key, "enabled", "disabled")
        if refused is None and (self.default == key or ReferenceKind.ACTIVE in self.keys[key].references.values()):
            return "referenced"
        if refused is None:
            self.keys[key].archived = True
        return refused

    def restore(self, key: KeyId) -> str | None:
        refused = self._refused(key, "archived")
        if refused is None:
            self.keys[key].archived = False
        return refused

    def schedule(self, key: KeyId, days: int, now: int) -> str | None:
        refused = self._refused(key, "disabled", "archived") or self._needed(key)
        if refused is None:
            self.keys[key].due = now + days * DAY_S
        return refused

    def cancel(self, key: KeyId) -> str | None:
        refused = self._refused(key, "pending-deletion")
        if refused is None:
            self.keys[key].due = None
        return refused

    def delete(self, key: KeyId) -> str | None:
        refused = self._refused(key, "disabled", "archived") or self._needed(key)
        if refused is None:
            self._destroy(key)
        return refused

    def attach(self, key: KeyId, consumer: str, kind: ReferenceKind) -> str | None:
        refused = self._refused(key, "enabled", "disabled", "archived")
        if refused is None and self.keys[key].archived and kind is ReferenceKind.ACTIVE:
            return "wrong-state"
        if refused is None:
            self.keys[key].references[consumer] = kind
        return refused

    def detach(self, key: KeyId, consumer: str) -> str | None:
        refused = self._refused(key, "enabled", "disabled", "archived")
        if refused is None and consumer not in self.keys[key].references:
            return "invalid-request"
        if refused is None:
            del self.keys[key].references[consumer]
        return refused

    def make_default(self, key: KeyId | None) -> str | None:
        refused = self._refused(key, "enabled") if key is not None else None
        if refused is None:
            self.default = key
        return refused

    def seal(self, key: KeyId | None) -> str | None:
        named = self.default if key is None else key
        if named is None:
            return "invalid-request"
        refused = self._refused(named, "enabled")
        if refused is None:
            self.keys[named].uses[-1] += 1
        return refused

    def open(self, key: KeyId) -> str | None:
        return self._refused(key, "enabled", "archived") if key in self.keys else "decryption-failed"

    def round(self, now: int) -> None:
        for key in [key for key, kept in self.keys.items() if kept.due is not None and kept.due <= now]:
            self._destroy(key)

    def _refused(self, key: KeyId, *states: str) -> str | None:
        if key not in self.keys:
            return "no-key"
        return None if self.keys[key].state in states else "wrong-state"

    def _needed(self, key: KeyId) -> str | None:
        return "referenced" if self.keys[key].references or self.default == key else None

    def _destroy(self, key: KeyId) -> None:
        del self.keys[key]
        self.gone.add(key)
