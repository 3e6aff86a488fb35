"""What is asked about: a secret as an explanation takes it, and a request of each operation that is about one.

What a request says besides is chosen so that nothing but permissions and the object's own state stands against it.

Source: docs/access.md, "Explained".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from secretd import lifecyclerequests as of_lifecycles
from secretd import operations as ops
from secretd.core.state import SecretState
from secretd.errors import InvalidRequestError
from secretd.lifecycle import Reference
from secretd.model import Attributes, SecretDocument, SecretValue, Usage

ANY_VALUE: Final = SecretValue(b"any")
ANYBODY: Final = "explain"
"""A consumer of whom nobody has heard."""


@dataclass(frozen=True, slots=True)
class AboutSecret:
    """The secret that a request is about.

    Attributes:
        before: as it is; None if it is not there.
        id: None if it would get one.
        attributes: as it would be.
        as_ephemeral: the request says that it would be ephemeral; else it says nothing.
    """

    before: SecretState | None
    id: UUID | None
    attributes: Attributes
    as_ephemeral: bool

    @property
    def some_id(self) -> UUID:
        """Its id, or one that no secret has."""
        return self.id or uuid4()

    @property
    def usage(self) -> Usage:
        """Its usage.

        Raises:
            InvalidRequestError: it has none.
        """
        if self.attributes.usage is None:
            raise InvalidRequestError("this operation is about a usage, and the secret has none")
        return self.attributes.usage

    @property
    def consumer(self) -> str:
        """Who needs it, if anybody does."""
        return consumer_of(self.before.lifecycle.references if self.before else ())


def consumer_of(references: tuple[Reference, ...]) -> str:
    """Give one of these who need something, or somebody of whom nobody has heard."""
    return references[0].consumer if references else ANYBODY


ABOUT_SECRETS: Mapping[type[ops.Request[Any]], Callable[[AboutSecret], ops.Request[Any]]] = MappingProxyType(
    {
        ops.AllocateId: lambda about: ops.AllocateId(ephemeral=about.as_ephemeral),
        ops.SetXml: lambda about: ops.SetXml(about.some_id, SecretDocument(about.attributes)),
        ops.Define: lambda about: ops.Define(SecretDocument(about.attributes, about.id)),
        ops.SetValue: lambda about: ops.SetValue(about.some_id, ANY_VALUE, about.as_ephemeral),
        ops.GenerateValue: lambda about: ops.GenerateValue(about.some_id, length=1),
        ops.GetXml: lambda about: ops.GetXml(about.some_id),
        ops.GetValue: lambda about: ops.GetValue(about.some_id),
        ops.Delete: lambda about: ops.Delete(about.some_id),
        ops.LookupById: lambda about: ops.LookupById(about.some_id),
        ops.LookupByUsage: lambda about: ops.LookupByUsage(about.usage),
        of_lifecycles.SecretGetLifecycle: lambda about: of_lifecycles.SecretGetLifecycle(about.some_id),
        of_lifecycles.SecretArchive: lambda about: of_lifecycles.SecretArchive(about.some_id),
        of_lifecycles.SecretRestore: lambda about: of_lifecycles.SecretRestore(about.some_id),
        of_lifecycles.SecretAttach: lambda about: of_lifecycles.SecretAttach(about.some_id, ANYBODY),
        of_lifecycles.SecretDetach: lambda about: of_lifecycles.SecretDetach(about.some_id, about.consumer),
        of_lifecycles.SecretProtect: lambda about: of_lifecycles.SecretProtect(about.some_id),
        of_lifecycles.SecretUnprotect: lambda about: of_lifecycles.SecretUnprotect(about.some_id),
        of_lifecycles.SecretScheduleDeletion: lambda about: of_lifecycles.SecretScheduleDeletion(about.some_id),
        of_lifecycles.SecretCancelDeletion: lambda about: of_lifecycles.SecretCancelDeletion(about.some_id),
    }
)
"""A request of each operation that is about one secret."""
