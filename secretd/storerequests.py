"""What the operations on the whole store take and give: its keyrings, checks, acceptance, backups.

Their rows are in secretd.operations, with all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from secretd.fields import Help
from secretd.model import SecretValue
from secretd.requests import Reply, Request


@dataclass(frozen=True, slots=True)
class KeyringVersions:
    """The keyring of one sealing domain."""

    domain: Annotated[str, Help("whose keyring it is: shared, or this node's own")]
    current: Annotated[int, Help("the version that seals now", 1)]
    versions: Annotated[int, Help("how many versions there are", 1)]
    uses: Annotated[int, Help("how often the current version was used, at most", 0)]


@dataclass(frozen=True, slots=True)
class SealReport(Reply):
    """The keyrings, and how far resealing is."""

    keyrings: Annotated[tuple[KeyringVersions, ...], Help("the keyrings")]
    resealing: Annotated[bool, Help("whether records are being sealed anew")]
    resealed: Annotated[int, Help("how many records were, since it began", 0)]
    damaged: Annotated[int, Help("how many records do not open, and were left as they are", 0)]


@dataclass(frozen=True, slots=True)
class SealStatus(Request[SealReport]):
    """Show the versions of the keyrings and how far resealing is."""


@dataclass(frozen=True, slots=True)
class SealRotated(Reply):
    """The reply to a rotation."""

    version: Annotated[int, Help("the version that seals from now on", 1)]


@dataclass(frozen=True, slots=True)
class SealRotate(Request[SealRotated]):
    """Give the keyrings a new version, and seal all records anew in the background."""


@dataclass(frozen=True, slots=True)
class SealRetired(Reply):
    """The reply to a retirement."""

    version: Annotated[int, Help("the one version there is now", 1)]


@dataclass(frozen=True, slots=True)
class SealRetire(Request[SealRetired]):
    """Drop the versions of the keyrings that no record is sealed by any more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong in the store."""

    what: Annotated[str, Help("what is wrong")]
    secret: Annotated[UUID | None, Help("with which secret, if that is known")] = None


@dataclass(frozen=True, slots=True)
class Checked(Reply):
    """What a check found."""

    secrets: Annotated[int, Help("how many secrets were looked at", 0)]
    values: Annotated[int, Help("how many values were looked at", 0)]
    usages: Annotated[int, Help("how many usages were looked at", 0)]
    found: Annotated[int, Help("how many problems there are", 0)]
    problems: Annotated[tuple[Problem, ...], Help("the first of them")]


@dataclass(frozen=True, slots=True)
class Check(Request[Checked]):
    """Open every record of the store, hold each against the others, and say what is wrong."""


@dataclass(frozen=True, slots=True)
class StoreAccepted(Reply):
    """The reply to an acceptance."""

    revision: Annotated[int, Help("the revision that the store has", 0)]


@dataclass(frozen=True, slots=True)
class StoreAccept(Request[StoreAccepted]):
    """Take a store as it is that lacks changes which were answered: it can be written again, and they are lost."""


@dataclass(frozen=True, slots=True)
class BackupPart(Reply):
    """A part of a backup."""

    backup: Annotated[UUID, Help("which backup: ask with it for the next part")]
    value: Annotated[SecretValue, Help("the part")]
    last: Annotated[bool, Help("whether this is the last part")]
    revision: Annotated[int, Help("the revision of the store that the backup is of", 0)]
    records: Annotated[int, Help("how many records were written so far", 0)]
    total: Annotated[int, Help("how many there are to write", 0)]
    damaged: Annotated[int, Help("how many of them do not open", 0)]
    secrets: Annotated[int, Help("how many of them are a secret's attributes: so many secrets there are so far", 0)]
    grants: Annotated[int, Help("how many of them are grants", 0)]


@dataclass(frozen=True, slots=True)
class Backup(Request[BackupPart]):
    """Write all that is stored, sealed as it is, at one revision; nothing in it is readable without the root key."""

    backup: Annotated[UUID | None, Help("the backup to go on with; a new one if none is given")] = None


@dataclass(frozen=True, slots=True)
class RestoreTaken(Reply):
    """The reply to a part of a restore."""

    restore: Annotated[UUID, Help("which restore: send the next part with it")]
    revision: Annotated[int | None, Help("after the last part: the revision that the backup is of", 0)] = None
    secrets: Annotated[int | None, Help("after the last part: how many secrets are in it", 0)] = None
    grants: Annotated[int | None, Help("after the last part: how many grants are in it", 0)] = None
    damaged: Annotated[int | None, Help("after the last part: how many records in it do not open", 0)] = None


@dataclass(frozen=True, slots=True)
class Restore(Request[RestoreTaken]):
    """Bring a backup into a store that has no secret yet, whole or not at all."""

    value: Annotated[SecretValue, Help("the next part of the backup")]
    restore: Annotated[UUID | None, Help("the restore to go on with; a new one if none is given")] = None
    last: Annotated[bool, Help("whether this is the last part")] = False
    dry_run: Annotated[bool, Help("look the backup through, and change nothing")] = False
