"""Keys as people read them: a list, and all that is known of one."""

from __future__ import annotations

from collections.abc import Iterable

from secretd.cli.output import draw, printable, records_table, yes_no
from secretd.keyrequests import KeyDescribed, KeyEntry
from secretd.moments import format_time


def keys_table(entries: Iterable[KeyEntry], *, headed: bool = True) -> str:
    """Draw keys, a line each."""
    columns = ["Key", "State", "Version", "Default", "Description"]
    return draw(
        columns if headed else [""] * len(columns),
        [
            (
                entry.key,
                entry.state.value,
                str(entry.version),
                yes_no(entry.default),
                # The last, for it may be as long as it likes.
                printable(entry.description or ""),
            )
            for entry in entries
        ],
    )


def described_key_tables(key: KeyDescribed) -> str:
    """Draw what is known of a key: what is said of it, its versions, and who needs it."""
    said = draw(["", ""], [(f"{name}:", printable(text)) for name, text in _said(key).items() if text is not None])
    return said + records_table(key.versions) + records_table(key.references)


def _said(key: KeyDescribed) -> dict[str, str | None]:
    """Say by name what is known of a key; what is not, is None."""
    document = key.document
    moments = {"Created": key.created, "Rotated": key.rotated, "Archived": key.archived, "Destroyed on": key.due}
    return {
        "Key": document.id,
        "Description": document.description,
        "Tags": ", ".join(f"{tag.name}={tag.text}" for tag in document.tags) or None,
        "State": key.state.value,
        "Version": str(key.version),
        "Default": yes_no(key.default),
        "Exportable": yes_no(document.exportable),
        "Rotation": None if document.rotation is None else f"every {document.rotation:,} days",
        "Usage": document.usage.value,
        "Backend": key.backend.value,
        **{name: None if moment is None else format_time(moment) for name, moment in moments.items()},
        "Digest": key.digest,
    }
