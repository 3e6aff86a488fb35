"""What may befall keys and secrets, and what stands against it: once for both.

Pure: each function takes what befell an object, and gives what befell it afterwards, or refuses. Whether the caller may
is judged before, and whether he may see who needs the object is an argument; the time is too.

Source: docs/keys.md, "States", "References", "Deletion that waits" and "Secrets have the same".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from secretd import limits
from secretd.errors import InvalidRequestError, OperationInvalidError, QuotaError, ReferencedError, WrongStateError
from secretd.lifecycle import Lifecycle, OutOfUse, Reference, ReferenceKind

DAY_S: Final = 86_400


def archive(before: Lifecycle, now: int, *, shown: bool) -> Lifecycle:
    """Take an object out of new use.

    Args:
        before: what befell it.
        now: in seconds since 1970.
        shown: whether the caller may see who needs it.

    Raises:
        WrongStateError: it is archived, or waits for its deletion.
        ReferencedError: an active consumer needs it.
    """
    _require(before, None)
    refuse_referenced([one for one in before.references if one.kind is ReferenceKind.ACTIVE], shown=shown)
    return replace(before, archived=now)


def restore(before: Lifecycle) -> Lifecycle:
    """Bring an archived object back into use.

    Raises:
        WrongStateError: it is not archived, or waits for its deletion.
    """
    _require(before, OutOfUse.ARCHIVED)
    return replace(before, archived=None)


def schedule(before: Lifecycle, now: int, days: int, *, shown: bool) -> Lifecycle:
    """Have an object deleted after some days.

    Args:
        before, now, shown: as for ``archive``.
        days: the window, limits.WINDOW_DAYS_LEAST to limits.WINDOW_DAYS.

    Raises:
        InvalidRequestError: the window is shorter or longer.
        WrongStateError: it waits for its deletion already.
        ReferencedError: somebody needs it.
        OperationInvalidError: it is protected.
    """
    if not limits.WINDOW_DAYS_LEAST <= days <= limits.WINDOW_DAYS:
        raise InvalidRequestError(f"the window has {limits.WINDOW_DAYS_LEAST} to {limits.WINDOW_DAYS} days")
    _require(before, None, OutOfUse.ARCHIVED)
    require_unneeded(before, shown=shown)
    return replace(before, due=now + days * DAY_S)


def cancel(before: Lifecycle) -> Lifecycle:
    """Have an object not deleted after all: it is again what it was before.

    Raises:
        WrongStateError: it does not wait for its deletion.
    """
    _require(before, OutOfUse.PENDING_DELETION)
    return replace(before, due=None)


def attach(before: Lifecycle, reference: Reference) -> Lifecycle:
    """Note that a consumer needs an object, in the place of what was noted of him.

    Raises:
        WrongStateError: it waits for its deletion, or it is archived and he needs it for new use.
        QuotaError: as many need it as may.
    """
    _require(before, None, *([OutOfUse.ARCHIVED] if reference.kind is ReferenceKind.ASSOCIATED else []))
    others = [one for one in before.references if one.consumer != reference.consumer]
    if len(others) >= limits.REFERENCES:
        raise QuotaError(f"{limits.REFERENCES} consumers need it, which are all that may")
    return replace(before, references=tuple(sorted([*others, reference], key=lambda one: one.consumer)))


def detach(before: Lifecycle, consumer: str) -> Lifecycle:
    """Note that a consumer needs an object no more.

    Raises:
        WrongStateError: it waits for its deletion.
        InvalidRequestError: he is not among those who need it.
    """
    _require(before, None, OutOfUse.ARCHIVED)
    left = tuple(one for one in before.references if one.consumer != consumer)
    if left == before.references:
        raise InvalidRequestError("no consumer of that name needs it")
    return replace(before, references=left)


def protect(before: Lifecycle, *, protected: bool) -> Lifecycle:
    """Keep an object from deletion, or no longer; to say what is so already changes nothing.

    Raises:
        WrongStateError: it waits for its deletion.
    """
    _require(before, None, OutOfUse.ARCHIVED)
    return replace(before, protected=protected)


def require_in_use(lifecycle: Lifecycle) -> None:
    """Refuse what changes an object, or puts it to new use, while it is out of use.

    Raises:
        WrongStateError: it is archived, or waits for its deletion.
    """
    _require(lifecycle, None)


def require_openable(lifecycle: Lifecycle) -> None:
    """Refuse what only opens an object, too, while it waits for its deletion.

    Raises:
        WrongStateError: it does.
    """
    if lifecycle.due is not None:
        _require(lifecycle, None, OutOfUse.ARCHIVED)


def require_unneeded(lifecycle: Lifecycle, *, shown: bool) -> None:
    """Refuse to delete what somebody needs, or what is protected.

    Raises:
        ReferencedError, OperationInvalidError: as for ``schedule``.
    """
    refuse_referenced(lifecycle.references, shown=shown)
    if lifecycle.protected:
        raise OperationInvalidError("it is protected from deletion")


def refuse_referenced(references: Iterable[Reference], *, shown: bool) -> None:
    """Refuse what must not be while these are there.

    Raises:
        ReferencedError: there is one.
    """
    names = ", ".join(one.consumer for one in references)
    if names:
        raise ReferencedError(f"it is needed by {names}" if shown else "somebody needs it")


def _require(lifecycle: Lifecycle, *states: OutOfUse | None) -> None:
    """Refuse what the state does not allow; None is that of an object that is in use."""
    if lifecycle.out_of_use not in states:
        raise WrongStateError(_STATES[lifecycle.out_of_use])


_STATES: Final = {
    None: "it is neither archived nor waits for its deletion",
    OutOfUse.ARCHIVED: "it is archived",
    OutOfUse.PENDING_DELETION: "it waits for its deletion (pending deletion)",
}
