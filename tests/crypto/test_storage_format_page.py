"""docs/storage-format.md: its worked example, recomputed by the second writer and opened by secretd."""

from __future__ import annotations

import json
import re
from uuid import UUID

import pytest

from helpers import storage_format as page
from helpers.tree import ROOT
from secretd import limits
from secretd.crypto.blob import open_blob, peek_blob
from secretd.crypto.context import spell_context
from secretd.crypto.envelope import open_record
from secretd.crypto.keyring import Domain, Keyring
from secretd.crypto.padding import SIZES, pad, unpad
from secretd.crypto.sealfile import SealFile
from secretd.crypto.sethash import Head, SetHash
from secretd.model import SecretValue, SlotKind, Usage, UsageType

PAGE = (ROOT / "docs" / "storage-format.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```example\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LINES: list[str] = [line for block in BLOCKS for line in block.splitlines()]
EXAMPLE: dict[str, str] = dict(line.split(" = ", 1) for line in LINES)


def raw(name: str) -> bytes:
    return bytes.fromhex(EXAMPLE[name])


def labelled(name: str) -> bytes:
    return EXAMPLE[name].replace("\\0", "\x00").encode("ascii")


def bound() -> tuple[str, str, int]:
    return EXAMPLE["seal-file-id"], EXAMPLE["domain"], int(EXAMPLE["generation"])


def recomputed() -> dict[str, bytes]:
    file_id, kind, slot_id = (EXAMPLE[name] for name in ("seal-file-id", "slot-kind", "slot-id"))
    slot = page.slot(raw("slot-key"), raw("slot-nonce"), raw("root-key"), file_id=file_id, kind=kind, slot_id=slot_id)
    payload = page.payload({1: raw("record-key-1")}, raw("index-key"), raw("digest-key"))
    sealed = page.sealed_keyring(raw("root-key"), raw("keyring-nonce"), payload, bound())
    plaintext = page.padded(raw("value"))
    header = page.record_header(1, 1, int(EXAMPLE["counter"]))
    counters = (int(EXAMPLE["attributes-counter"]), int(EXAMPLE["value-counter"]))
    slot_associated = page.slot_associated(file_id, kind, slot_id)
    set_hash_key = page.set_hash_key(raw("digest-key"))
    set_hash = page.set_hash(set_hash_key, {raw("name"): raw("record")})
    sums, revision = (set_hash, set_hash), int(EXAMPLE["head-revision"])
    return {
        "slot-associated": slot_associated,
        "slot-wrapped": page.box(raw("slot-key"), raw("slot-nonce"), raw("root-key"), slot_associated),
        "payload": payload,
        "keyring-associated": page.keyring_associated(*bound()),
        "seal-file": page.canonical(page.seal_document(bound(), [slot], sealed)),
        "plaintext": plaintext,
        "header": header,
        "associated": page.record_associated(header, raw("name")),
        "record": page.record(raw("record-key-1"), header, raw("name"), raw("record-nonce"), plaintext),
        "usage-key": page.usage_key(raw("index-key"), EXAMPLE["usage-type"], EXAMPLE["usage-id"]),
        "digest": bytes.fromhex(page.object_digest(raw("digest-key"), UUID(EXAMPLE["object-id"]).bytes, *counters)),
        **recomputed_of_keys(),
        "set-hash-key": set_hash_key,
        "set-hash": set_hash,
        "head-key": page.head_key(set_hash_key, raw("head-salt")),
        "head": page.head(set_hash_key, raw("head-salt"), raw("head-nonce"), revision, sums),
    }


def recomputed_of_keys() -> dict[str, bytes]:
    key, version, pairs = EXAMPLE["key-id"], int(EXAMPLE["key-version"]), json.loads(EXAMPLE["key-context"])
    head = page.blob_head(key, version)
    return {
        "blob-head": head,
        "blob-key": page.blob_key(raw("key-material")),
        "blob-associated": page.blob_associated(head, pairs),
        "blob": page.blob(raw("key-material"), key, version, raw("key-nonce"), pairs, raw("blob-plaintext")),
        "key-name": page.key_name(raw("digest-key"), key),
        "key-digest": bytes.fromhex(page.key_digest(raw("digest-key"), key, int(EXAMPLE["key-counter"]))),
    }


GIVEN = {
    "key-id",
    "key-version",
    "key-material",
    "key-context",
    "key-nonce",
    "key-counter",
    "blob-plaintext",
    "slot-key",
    "root-key",
    "seal-file-id",
    "slot-kind",
    "slot-id",
    "slot-nonce",
    "domain",
    "generation",
    "record-key-1",
    "index-key",
    "digest-key",
    "keyring-nonce",
    "name",
    "counter",
    "value",
    "record-nonce",
    "usage-type",
    "usage-id",
    "object-id",
    "attributes-counter",
    "value-counter",
    "head-revision",
    "head-salt",
    "head-nonce",
}
TEXTS = {"slot-associated", "payload", "keyring-associated", "seal-file"}


def test_every_line_is_given_or_recomputed() -> None:
    assert len(EXAMPLE) == len(LINES)
    assert set(EXAMPLE) == GIVEN | set(recomputed())


@pytest.mark.parametrize("name", recomputed())
def test_line_is_recomputed(name: str) -> None:
    shown = labelled(name) if name in TEXTS else raw(name)
    assert recomputed()[name] == shown


def test_secretd_opens_the_example() -> None:
    seal_file = SealFile.parse(labelled("seal-file"))
    root_key = seal_file.open_root(SlotKind(EXAMPLE["slot-kind"]), raw("slot-key"))
    assert root_key == raw("root-key")
    keyring = seal_file.open_keyring(root_key)
    assert keyring.to_payload() == labelled("payload")
    opened = open_record({Domain.SHARED: keyring}, raw("name"), raw("record"))
    assert opened.counter == int(EXAMPLE["counter"])
    assert unpad(opened.plaintext).reveal() == raw("value")


def test_secretd_opens_the_blob_of_the_example() -> None:
    context = spell_context(json.loads(EXAMPLE["key-context"]))
    assert context.decode() == EXAMPLE["key-context"]
    sealer = peek_blob(raw("blob"))
    assert sealer is not None
    assert (sealer.key, sealer.version) == (EXAMPLE["key-id"], int(EXAMPLE["key-version"]))
    assert open_blob(raw("key-material"), sealer, context, raw("blob")) == raw("blob-plaintext")


def test_secretd_derives_the_example() -> None:
    keyring = Keyring(Domain.SHARED, UUID(int=0), {1: raw("record-key-1")}, raw("index-key"), raw("digest-key"))
    assert pad(SecretValue(raw("value"))) == raw("plaintext")
    usage = Usage(UsageType(EXAMPLE["usage-type"]), EXAMPLE["usage-id"])
    assert keyring.usage_key(usage) == raw("usage-key")
    counters = (int(EXAMPLE["attributes-counter"]), int(EXAMPLE["value-counter"]))
    assert keyring.digest(UUID(EXAMPLE["object-id"]), *counters) == EXAMPLE["digest"]
    set_hash = SetHash(keyring)
    total = set_hash.added(0, raw("name"), raw("record"))
    assert total.to_bytes(32, "big") == raw("set-hash")
    assert set_hash.open(raw("head")) == Head(int(EXAMPLE["head-revision"]), total, total)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(f"at most {limits.KEYRING_BYTES:,} bytes", id="seal-file"),
        pytest.param(f"1 to {limits.STORE_KEY_BYTES} bytes", id="name"),
        pytest.param(f"The length is 1 to {limits.VALUE_BYTES:,}", id="value"),
        pytest.param(" or ".join(", ".join(f"{size:,}" for size in SIZES).rsplit(", ", 1)), id="sizes"),
    ],
)
def test_bounds_of_the_page_are_those_in_force(words: str) -> None:
    assert words in " ".join(PAGE.split())
