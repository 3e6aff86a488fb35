"""Which function handles which request about keys: for the service, and for who only tries a request."""

from __future__ import annotations

from secretd import keyrequests as requests
from secretd.core.access import Access
from secretd.core.clock import Clock
from secretd.core.datakeys import DataKeys
from secretd.core.derivations import Derivations
from secretd.core.handling import Handlers
from secretd.core.keyhome import KeyHome
from secretd.core.keys import Keys


def key_handlers(access: Access, home: KeyHome, clock: Clock, derivations: Derivations) -> Handlers:
    """Give what handles each request about keys.

    Args:
        access: who judges callers.
        home: where the keys are.
        clock: says what time it is.
        derivations: makes those that key files ask for.
    """
    keys, data_keys = Keys(access, home, clock, derivations), DataKeys(access, home)
    return {
        requests.KeyCreate: keys.create,
        requests.KeyImport: keys.import_key,
        requests.KeyList: keys.list,
        requests.KeyDescribe: keys.describe,
        requests.KeyUpdate: keys.update,
        requests.KeyEnable: keys.enable,
        requests.KeyDisable: keys.disable,
        requests.KeyRotate: keys.rotate,
        requests.KeyArchive: keys.archive,
        requests.KeyRestore: keys.restore,
        requests.KeyAttach: keys.attach,
        requests.KeyDetach: keys.detach,
        requests.KeyScheduleDeletion: keys.schedule_deletion,
        requests.KeyCancelDeletion: keys.cancel_deletion,
        requests.KeyDelete: keys.delete,
        requests.KeyDefault: keys.default,
        requests.KeyExport: keys.export,
        requests.GenerateDataKey: data_keys.generate_data_key,
        requests.Encrypt: data_keys.encrypt,
        requests.Decrypt: data_keys.decrypt,
        requests.Rewrap: data_keys.rewrap,
    }
