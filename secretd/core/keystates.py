"""The states of keys, as data: what each allows. A test holds the table against the page that says it.

What befalls keys and secrets alike, references among it, is core/lifecycle.py's.

Source: docs/keys.md, "States".
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from secretd.core.keyform import Key
from secretd.errors import WrongStateError
from secretd.keys import KeyState
from secretd.lifecycle import OutOfUse

_ENABLED, _DISABLED, _ARCHIVED, _PENDING = KeyState


class Action(Enum):
    """What somebody wants of a key that its state may not allow; of the commands, their names."""

    __hash__ = object.__hash__  # members are single, and Enum's own is a call of Python

    SEAL = "seal"
    OPEN = "open"
    ENABLE = "key-enable"
    DISABLE = "key-disable"
    ROTATE = "key-rotate"
    ARCHIVE = "key-archive"
    RESTORE = "key-restore"
    SCHEDULE_DELETION = "key-schedule-deletion"
    CANCEL_DELETION = "key-cancel-deletion"
    DELETE = "key-delete"
    END_OF_WINDOW = "end of the window"
    UPDATE = "key-update"
    ATTACH = "key-attach"
    DETACH = "key-detach"
    EXPORT = "key-export"
    DEFAULT = "key-default"


ALLOWED: Final[dict[Action, frozenset[KeyState]]] = {
    Action.SEAL: frozenset({_ENABLED}),
    Action.OPEN: frozenset({_ENABLED, _ARCHIVED}),
    Action.ENABLE: frozenset({_DISABLED}),
    Action.DISABLE: frozenset({_ENABLED}),
    Action.ROTATE: frozenset({_ENABLED}),
    Action.ARCHIVE: frozenset({_ENABLED, _DISABLED}),
    Action.RESTORE: frozenset({_ARCHIVED}),
    Action.SCHEDULE_DELETION: frozenset({_DISABLED, _ARCHIVED}),
    Action.CANCEL_DELETION: frozenset({_PENDING}),
    Action.DELETE: frozenset({_DISABLED, _ARCHIVED}),
    Action.END_OF_WINDOW: frozenset({_PENDING}),
    Action.UPDATE: frozenset({_ENABLED, _DISABLED, _ARCHIVED}),
    Action.ATTACH: frozenset({_ENABLED, _DISABLED, _ARCHIVED}),
    Action.DETACH: frozenset({_ENABLED, _DISABLED, _ARCHIVED}),
    Action.EXPORT: frozenset({_ENABLED, _ARCHIVED}),
    Action.DEFAULT: frozenset({_ENABLED}),
}
"""In which states each may be."""

_SPELT: Final = {state: state.value.replace("-", " ") for state in KeyState}


def state_of(key: Key) -> KeyState:
    """Say which state a key is in."""
    match key.lifecycle.out_of_use:
        case OutOfUse.PENDING_DELETION:
            return KeyState.PENDING_DELETION
        case OutOfUse.ARCHIVED:
            return KeyState.ARCHIVED
        case None:
            return KeyState.DISABLED if key.disabled else KeyState.ENABLED


def require(state: KeyState, action: Action) -> None:
    """Refuse what the state of a key does not allow.

    Raises:
        WrongStateError: it does not; names the state.
    """
    if state not in ALLOWED[action]:
        raise WrongStateError(f"the key is {_SPELT[state]}")
