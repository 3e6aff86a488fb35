"""What is asked about: a key as an explanation takes it, and a request of each operation that is about one.

As for secrets (core/samples.py).  Of what is sealed no more is known than who sealed it, so a blob is made up, which
does not open; who only tries a request does not come to that.

Source: docs/access.md, "Explained".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from secretd import keyrequests as requests
from secretd import limits
from secretd import operations as ops
from secretd.core.samples import ANY_VALUE, ANYBODY, consumer_of
from secretd.crypto.blob import seal_blob
from secretd.crypto.context import spell_context
from secretd.errors import InvalidRequestError
from secretd.keys import Blob, KeyDocument, KeyId
from secretd.lifecycle import Reference
from secretd.model import SecretValue

_ANY_KEY: Final = SecretValue(bytes(limits.KEY_BYTES))


@dataclass(frozen=True, slots=True)
class AboutKey:
    """The key that a request is about.

    Attributes:
        id: None if it would get one, or is the default key.
        document: what would be said of it.
        references: who needs it now.
    """

    id: KeyId | None
    document: KeyDocument
    references: tuple[Reference, ...] = ()

    @property
    def named(self) -> KeyId:
        """Its id.

        Raises:
            InvalidRequestError: none was given.
        """
        if self.id is None:
            raise InvalidRequestError("say which key it is about")
        return self.id

    @property
    def blob(self) -> Blob:
        """Something that looks as if this key had sealed it; it does not open."""
        return Blob(seal_blob(_ANY_KEY.reveal(), self.named, 1, spell_context({}), ANY_VALUE.reveal()))

    @property
    def consumer(self) -> str:
        """Who needs it, if anybody does."""
        return consumer_of(self.references)


ABOUT_KEYS: Mapping[type[ops.Request[Any]], Callable[[AboutKey], ops.Request[Any]]] = MappingProxyType(
    {
        requests.KeyCreate: lambda about: requests.KeyCreate(about.document),
        requests.KeyImport: lambda about: requests.KeyImport(about.document, _ANY_KEY),
        requests.KeyDescribe: lambda about: requests.KeyDescribe(about.named),
        requests.KeyUpdate: lambda about: requests.KeyUpdate(about.named, about.document),
        requests.KeyEnable: lambda about: requests.KeyEnable(about.named),
        requests.KeyDisable: lambda about: requests.KeyDisable(about.named),
        requests.KeyRotate: lambda about: requests.KeyRotate(about.named),
        requests.KeyArchive: lambda about: requests.KeyArchive(about.named),
        requests.KeyRestore: lambda about: requests.KeyRestore(about.named),
        requests.KeyAttach: lambda about: requests.KeyAttach(about.named, ANYBODY),
        requests.KeyDetach: lambda about: requests.KeyDetach(about.named, about.consumer),
        requests.KeyScheduleDeletion: lambda about: requests.KeyScheduleDeletion(about.named),
        requests.KeyCancelDeletion: lambda about: requests.KeyCancelDeletion(about.named),
        requests.KeyDelete: lambda about: requests.KeyDelete(about.named, about.named),
        requests.KeyDefault: lambda about: requests.KeyDefault(about.id),
        requests.KeyExport: lambda about: requests.KeyExport(about.named),
        requests.GenerateDataKey: lambda about: requests.GenerateDataKey(about.id),
        requests.Encrypt: lambda about: requests.Encrypt(ANY_VALUE, about.id),
        requests.Decrypt: lambda about: requests.Decrypt(about.blob),
        requests.Rewrap: lambda about: requests.Rewrap(about.blob),
    }
)
"""A request of each operation that is about one key: of what seals or opens for others, the least that it can do."""
