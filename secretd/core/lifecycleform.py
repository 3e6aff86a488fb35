"""The member ``lifecycle`` of what is kept of a secret or a key, specified in docs/storage-format.md, "Lifecycles".

One spelling for one meaning: what is read here is of the types that ``to_json`` writes, and in its order; whoever reads
a record compares, as ever, its bytes with what he would have written.
"""

from __future__ import annotations

from typing import Any, Final

from secretd import limits
from secretd.errors import SecretdError, StoreCorruptError
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle, Reference, ReferenceKind

_MEMBERS: Final = ("archived", "due", "protected", "references")
_MOMENT_MOST: Final = 2**63 - 1


def to_json(lifecycle: Lifecycle) -> dict[str, object] | None:
    """Give what befell an object as members of JSON, sorted by name; None if that is nothing."""
    if lifecycle == NOTHING_BEFELL:
        return None
    return {
        "archived": lifecycle.archived,
        "due": lifecycle.due,
        "protected": lifecycle.protected,
        "references": [[one.consumer, one.kind.value] for one in lifecycle.references],
    }


def from_json(members: object) -> Lifecycle:
    """Read what ``to_json`` gave, once it was JSON.

    Raises:
        StoreCorruptError: it did not give this.
    """
    lifecycle = NOTHING_BEFELL if members is None else _try_read(members)
    if lifecycle is None or to_json(lifecycle) != members:
        raise StoreCorruptError("what befell an object is in a form this version does not know")
    return lifecycle


def _try_read(members: Any) -> Lifecycle | None:
    try:
        archived, due, protected, references = (members[name] for name in _MEMBERS)
        read = tuple(Reference(consumer, ReferenceKind(kind)) for consumer, kind in references)
    except (ValueError, TypeError, LookupError, SecretdError):
        return None
    if not (_is_moment(archived) and _is_moment(due) and type(protected) is bool and _is_in_order(read)):
        return None
    return Lifecycle(archived, due, protected, read)


def _is_moment(member: object) -> bool:
    # Compared alone these would pass: true is 1, and a number with a fraction may be equal to one without.
    return member is None or (type(member) is int and 0 <= member <= _MOMENT_MOST)


def _is_in_order(references: tuple[Reference, ...]) -> bool:
    consumers = [one.consumer for one in references]
    return len(consumers) <= limits.REFERENCES and consumers == sorted(set(consumers))
