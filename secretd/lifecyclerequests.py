"""What the operations on the lifecycle of secrets take and give.

Their rows are in secretd.operations, with all others.  Source: docs/keys.md, "Secrets have the same".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from secretd import limits
from secretd.fields import Help
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Digest
from secretd.requests import Changed, Reply, Request

_Secret = Annotated[UUID, Help("the secret's id")]
_Given = Annotated[Digest | None, Help("make the change only if the secret's digest is still this one")]
_Digest = Annotated[Digest, Help("the secret's digest")]


@dataclass(frozen=True, slots=True)
class SecretLifecycle(Reply):
    """What befell a secret."""

    digest: _Digest
    protected: Annotated[bool, Help("whether it is kept from deletion")]
    archived: Annotated[datetime | None, Help("when it was archived, if it is")] = None
    due: Annotated[datetime | None, Help("when it will be deleted, if it is to be")] = None
    references: Annotated[tuple[Reference, ...], Help("who needs it")] = ()


@dataclass(frozen=True, slots=True)
class SecretGetLifecycle(Request[SecretLifecycle]):
    """Say whether a secret is archived, protected, to be deleted, and who needs it."""

    secret: _Secret


@dataclass(frozen=True, slots=True)
class SecretArchive(Request[Changed]):
    """Take a secret out of new use: its value can still be read, and lists leave it out."""

    secret: _Secret
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class SecretRestore(Request[Changed]):
    """Bring an archived secret back into use."""

    secret: _Secret
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class SecretDeletionScheduled(Reply):
    """The reply to a deletion that waits."""

    secret: _Secret
    digest: _Digest
    due: Annotated[datetime, Help("when the secret will be deleted")]


@dataclass(frozen=True, slots=True)
class SecretScheduleDeletion(Request[SecretDeletionScheduled]):
    """Have a secret deleted after some days, in which it can be used for nothing but can be had back."""

    secret: _Secret
    days: Annotated[int, Help("how many days", limits.WINDOW_DAYS_LEAST, limits.WINDOW_DAYS)] = int(limits.WINDOW_DAYS)
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class SecretCancelDeletion(Request[Changed]):
    """Have a secret not deleted after all."""

    secret: _Secret
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class SecretAttach(Request[Changed]):
    """Note that a consumer needs a secret, or needs it otherwise than before."""

    secret: _Secret
    consumer: Annotated[str, Help("who needs it")]
    kind: Annotated[ReferenceKind, Help("for new use too, or only to open what is there")] = ReferenceKind.ACTIVE
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class SecretDetach(Request[Changed]):
    """Note that a consumer needs a secret no more."""

    secret: _Secret
    consumer: Annotated[str, Help("who needed it")]
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class SecretProtect(Request[Changed]):
    """Keep a secret from being deleted, at any door."""

    secret: _Secret
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class SecretUnprotect(Request[Changed]):
    """Let a secret be deleted again."""

    secret: _Secret
    digest: _Given = None
