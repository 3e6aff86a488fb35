"""Which function handles which request about one secret: for the service, and for who only tries a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from secretd import operations as ops
from secretd.core.secretlifecycle import SecretLifecycles
from secretd.core.secrets import Secrets
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDetach,
    SecretGetLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import Caller

Handler = Callable[[Caller, Any], Awaitable[ops.Reply]]
Handlers = dict[type[ops.Request[Any]], Handler]


def handlers_of(secrets: Secrets, lifecycles: SecretLifecycles) -> Handlers:
    """Give what handles each request about one secret."""
    return {
        ops.AllocateId: secrets.allocate_id,
        ops.SetXml: secrets.set_xml,
        ops.Define: secrets.define,
        ops.GetXml: secrets.get_xml,
        ops.SetValue: secrets.set_value,
        ops.GenerateValue: secrets.generate_value,
        ops.GetValue: secrets.get_value,
        ops.Delete: secrets.delete,
        ops.LookupByUsage: secrets.lookup_by_usage,
        ops.LookupById: secrets.lookup_by_id,
        SecretGetLifecycle: lifecycles.get,
        SecretArchive: lifecycles.archive,
        SecretRestore: lifecycles.restore,
        SecretAttach: lifecycles.attach,
        SecretDetach: lifecycles.detach,
        SecretProtect: lifecycles.protect,
        SecretUnprotect: lifecycles.unprotect,
        SecretScheduleDeletion: lifecycles.schedule_deletion,
        SecretCancelDeletion: lifecycles.cancel_deletion,
    }
