"""What tests/vectors/ holds: records, seal files, padding, derived keys and grants, each with its declared outcome.

Every vector is made here from fixed inputs by helpers.storage_format, which shares no code with secretd.  An outcome
is ``success``, or the code of the error that must come; ``says`` is a part of that error's message.  After a
change of the format, ``python -m helpers.storage_vectors DIRECTORY`` (run in tests/) writes the files anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers import storage_format as page

SOURCE = "made by tests/helpers/storage_vectors.py from fixed inputs, by a writer that shares no code with secretd"

Vector = dict[str, object]


def run(start: int, length: int) -> bytes:
    """Give the bytes start, start + 1 ... as keys and nonces that are easily told apart."""
    return bytes((start + offset) % 256 for offset in range(length))


ROOT_KEY = run(0, 32)
FILE_KEY = run(32, 32)
CREDENTIAL_KEY = run(33, 32)
KEYS = {
    ("shared", 1): run(64, 32),
    ("shared", 2): run(65, 32),
    ("node", 1): run(66, 32),
}
INDEX_KEY = run(96, 32)
DIGEST_KEY = run(128, 32)
FILE_ID = "7b0c1f5e-3c5d-4b8e-9a57-2f6d1c0e8a41"
FILE_SLOT = "d2a4c6e8-1b3d-4f5a-8c7e-9f0a1b2c3d4e"
CREDENTIAL_SLOT = "0c9e1d34-7a5b-4c2f-b6a8-5d4e3f2a1b0c"
NUMBERS = {"shared": 1, "node": 2}

CHANGED = "was changed, moved or relabelled"


# Records.

Header = tuple[str, int, int]


def _record(header: Header, name: bytes, plaintext: bytes, seed: int) -> bytes:
    domain, version, counter = header
    clear = page.record_header(NUMBERS[domain], version, counter)
    return page.record(KEYS[domain, version], clear, name, run(seed, 12), plaintext)


def _opens(label: str, header: Header, name: bytes, plaintext: bytes) -> Vector:
    domain, version, counter = header
    return {
        "id": label,
        "outcome": "success",
        "name": name.hex(),
        "sealed": _record(header, name, plaintext, len(plaintext)).hex(),
        "domain": domain,
        "version": version,
        "counter": counter,
        "plaintext": plaintext.hex(),
    }


def _fails(label: str, name: bytes, sealed: bytes, says: str = CHANGED, outcome: str = "store-corrupt") -> Vector:
    return {"id": label, "outcome": outcome, "says": says, "name": name.hex(), "sealed": sealed.hex()}


_NAME = b"example"
_GOOD = _record(("shared", 1, 1_000_001), _NAME, page.padded(b"open sesame"), 184)


def _patched(offset: int, replacement: bytes) -> bytes:
    return _GOOD[:offset] + replacement + _GOOD[offset + len(replacement) :]


def _foreign(associated: Callable[[bytes], bytes]) -> bytes:
    """Seal the good record with its header but other associated data."""
    header = _GOOD[:14]
    return header + page.box(KEYS["shared", 1], run(7, 12), b"plaintext", associated(header))


def _good_records() -> Iterator[Vector]:
    yield _opens("value-of-the-page", ("shared", 1, 1_000_001), _NAME, page.padded(b"open sesame"))
    yield _opens("empty-plaintext", ("shared", 1, 1), _NAME, b"")
    yield _opens("newer-version", ("shared", 2, 7), _NAME, b"sealed under version 2")
    yield _opens("older-version", ("shared", 1, 7), _NAME, b"sealed under version 1")
    yield _opens("node-domain", ("node", 1, 7), _NAME, b"sealed for this node")
    yield _opens("least-counter", ("shared", 1, 1), _NAME, b"x")
    yield _opens("greatest-counter", ("shared", 1, 2**64 - 1), _NAME, b"x")
    yield _opens("counter-of-63-bits", ("shared", 1, 2**63), _NAME, b"x")
    yield _opens("name-of-1-byte", ("shared", 1, 7), b"n", b"x")
    yield _opens("name-of-zeros", ("shared", 1, 7), bytes(34), b"x")
    yield _opens("name-of-256-bytes", ("shared", 1, 7), run(0, 256), b"x")


def _cut_records() -> Iterator[Vector]:
    short = "cut short"
    yield _fails("empty", _NAME, b"", short)
    yield _fails("format-only", _NAME, _GOOD[:1], short)
    yield _fails("header-only", _NAME, _GOOD[:14], short)
    yield _fails("header-and-nonce", _NAME, _GOOD[:26], short)
    yield _fails("one-byte-under-the-least", _NAME, _GOOD[:41], short)
    yield _fails("cut-by-one", _NAME, _GOOD[:-1])
    yield _fails("without-tag", _NAME, _GOOD[:-16])
    yield _fails("first-byte-lost", _NAME, _GOOD[1:], "sealing domain")
    yield _fails("one-byte-more", _NAME, _GOOD + b"\x00")
    yield _fails("twice", _NAME, _GOOD + _GOOD)


def _relabelled_records() -> Iterator[Vector]:
    yield _fails("format-0", _NAME, _patched(0, b"\x00"), "format")
    yield _fails("format-2", _NAME, _patched(0, b"\x02"), "format")
    yield _fails("domain-0", _NAME, _patched(1, b"\x00"), "sealing domain")
    yield _fails("domain-3", _NAME, _patched(1, b"\x03"), "sealing domain")
    yield _fails("domain-changed", _NAME, _patched(1, b"\x02"))
    yield _fails("version-0", _NAME, _patched(2, bytes(4)), "zero")
    yield _fails("version-changed", _NAME, _patched(5, b"\x02"))
    yield _fails("version-unknown", _NAME, _patched(5, b"\x03"), "version")
    yield _fails("version-little-endian", _NAME, _patched(2, b"\x01\x00\x00\x00"), "version")
    yield _fails("counter-0", _NAME, _patched(6, bytes(8)), "zero")
    yield _fails("counter-plus-one", _NAME, _patched(13, b"\x42"))
    yield _fails("counter-high-bit", _NAME, _patched(6, b"\x80"))


def _moved_records() -> Iterator[Vector]:
    other = _record(("shared", 1, 1_000_001), b"other", page.padded(b"open sesame"), 3)
    yield _fails("other-name", b"other", _GOOD)
    yield _fails("swapped", _NAME, other)
    yield _fails("name-longer", _NAME + b"\x00", _GOOD)
    yield _fails("name-shorter", _NAME[:-1], _GOOD)
    yield _fails("name-other-case", b"Example", _GOOD)
    yield _fails("header-of-another", _NAME, _GOOD[:14] + other[14:])
    yield _fails("nonce-of-another", _NAME, _GOOD[:14] + other[14:26] + _GOOD[26:])
    yield _fails("tag-of-another", _NAME, _GOOD[:-16] + other[-16:])


def _flipped_records() -> Iterator[Vector]:
    yield _fails("nonce-flipped", _NAME, _patched(14, bytes([_GOOD[14] ^ 1])))
    yield _fails("ciphertext-flipped", _NAME, _patched(26, bytes([_GOOD[26] ^ 0x80])))
    yield _fails("tag-flipped", _NAME, _patched(len(_GOOD) - 1, bytes([_GOOD[-1] ^ 1])))
    yield _fails("tag-zero", _NAME, _GOOD[:-16] + bytes(16))


def _foreign_records() -> Iterator[Vector]:
    yield _fails("nothing-associated", _NAME, _foreign(lambda _: b""))
    yield _fails("label-missing", _NAME, _foreign(lambda header: header + b"\x00\x07" + _NAME))
    yield _fails("name-not-associated", _NAME, _foreign(lambda header: b"secretd record\x00" + header))
    yield _fails("name-without-length", _NAME, _foreign(lambda header: b"secretd record\x00" + header + _NAME))
    yield _fails("header-not-associated", _NAME, _foreign(lambda _: b"secretd record\x00\x00\x07" + _NAME))
    header = _GOOD[:14]
    yield _fails("other-key", _NAME, page.record(run(99, 32), header, _NAME, run(1, 12), b"plaintext"))
    yield _fails("index-key", _NAME, page.record(INDEX_KEY, header, _NAME, run(1, 12), b"plaintext"))


def records() -> Vector:
    """Make records.json."""
    groups = (
        _good_records,
        _cut_records,
        _relabelled_records,
        _moved_records,
        _flipped_records,
        _foreign_records,
    )
    return {
        "source": SOURCE,
        "keys": [{"domain": domain, "version": version, "key": key.hex()} for (domain, version), key in KEYS.items()],
        "vectors": [vector for group in groups for vector in group()],
    }


# Seal files. A text is written as runs: [text, how often].

BOUND = (FILE_ID, "shared", 1)
PAYLOAD = page.payload({1: KEYS["shared", 1]}, INDEX_KEY, DIGEST_KEY)


def _slot(
    kind: str = "local-file", slot_id: str = FILE_SLOT, key: bytes = FILE_KEY, root: bytes = ROOT_KEY
) -> page.Json:
    return page.slot(key, run(160, 12), root, file_id=FILE_ID, kind=kind, slot_id=slot_id)


def _document(payload: bytes = PAYLOAD, bound: tuple[str, str, int] = BOUND) -> dict[str, object]:
    return page.seal_document(bound, [_slot()], page.sealed_keyring(ROOT_KEY, run(172, 12), payload, bound))


def _seal_file(label: str, document: object, **also: object) -> Vector:
    if isinstance(document, dict):
        document = page.canonical(document).decode()
    runs = [(document, 1)] if isinstance(document, str) else document
    vector: Vector = {"id": label, "text": runs, "kind": "local-file", "slot-key": FILE_KEY.hex()}
    return vector | also


def _seal_opens(label: str, document: object, payload: bytes = PAYLOAD) -> Vector:
    return _seal_file(label, document) | {
        "outcome": "success",
        "root-key": ROOT_KEY.hex(),
        "payload": payload.decode(),
    }


def _seal_fails(label: str, document: object, says: str, **also: object) -> Vector:
    return _seal_file(label, document, **also) | {"outcome": "sealed", "says": says}


def _with(**members: object) -> dict[str, object]:
    return _document() | members


def _with_slot(**members: object) -> dict[str, object]:
    return _with(slots=[{**_slot(), **members}])


def _good_seal_files() -> Iterator[Vector]:
    yield _seal_opens("of-the-page", _document())
    node = (FILE_ID, "node", 1)
    yield _seal_opens("node-domain", _document(bound=node))
    yield _seal_opens("later-generation", _document(bound=(FILE_ID, "shared", 41)))
    yield _seal_opens("greatest-generation", _document(bound=(FILE_ID, "shared", 2**63 - 1)))
    twelve = page.payload({version: run(version, 32) for version in range(1, 13)}, INDEX_KEY, DIGEST_KEY)
    yield _seal_opens("twelve-versions-in-text-order", _document(twelve), twelve)
    gaps = page.payload({3: run(3, 32), 2**32 - 1: run(9, 32)}, INDEX_KEY, DIGEST_KEY)
    yield _seal_opens("versions-with-gaps", _document(gaps), gaps)
    both = [_slot(), _slot("credential", CREDENTIAL_SLOT, CREDENTIAL_KEY)]
    yield _seal_opens("two-slots-first", _with(slots=both))
    second = {"kind": "credential", "slot-key": CREDENTIAL_KEY.hex()}
    yield _seal_opens("two-slots-second", _with(slots=both)) | second
    damaged = {**_slot("credential", CREDENTIAL_SLOT, CREDENTIAL_KEY), "wrapped": page.base64(run(5, 60))}
    yield _seal_opens("other-slot-damaged", _with(slots=[damaged, _slot()]))
    same_kind = [_slot(slot_id=CREDENTIAL_SLOT, key=CREDENTIAL_KEY), _slot()]
    yield _seal_opens("two-slots-of-one-kind", _with(slots=same_kind))


def _misspelt_seal_files() -> Iterator[Vector]:
    good = page.canonical(_document()).decode()
    no_object = "not a JSON object"
    yield _seal_fails("empty", "", no_object)
    yield _seal_fails("not-json", "secretd", no_object)
    yield _seal_fails("cut", good[:-1], no_object)
    yield _seal_fails("an-array", "[]", no_object)
    yield _seal_fails("null", "null", no_object)
    yield _seal_fails("not-ascii", good.replace("shared", "shar\u00e9d"), no_object)
    yield _seal_fails("nested-deep", [('{"a":', 30_000)], no_object)
    yield _seal_fails("a-huge-number", '{"format":' + "9" * 5_000 + "}", no_object)
    yield _seal_fails("line-feed-after", good + "\n", "not canonical")
    yield _seal_fails("white-space", good.replace(":", ": ", 1), "not canonical")
    yield _seal_fails("escaped-letter", good.replace("shared", "sh\\u0061red"), "not canonical")
    yield _seal_fails("member-twice", good.replace("{", '{"domain":"shared",', 1), "not canonical")
    yield _seal_fails(
        "members-unsorted", json.dumps(dict(reversed(_document().items())), separators=(",", ":")), "canonical"
    )
    yield _seal_fails("two-documents", good + good, no_object)
    yield _seal_fails("too-long", [(" ", 262_144), (good, 1)], "its length")


def _wrong_members() -> Iterator[Vector]:
    yield _seal_fails("empty-object", {}, "format")
    yield _seal_fails("member-missing", {k: v for k, v in _document().items() if k != "slots"}, "members")
    yield _seal_fails("member-unknown", _with(comment="x"), "members")
    yield _seal_fails("format-2", _with(format=2), "newer format")
    yield _seal_fails("format-2-otherwise-unlike", {"format": 2}, "newer format")
    yield _seal_fails("format-0", _with(format=0), "(format)")
    yield _seal_fails("format-true", _with(format=True), "(format)")
    yield _seal_fails("format-text", _with(format="1"), "(format)")
    yield _seal_fails("format-fraction", _with(format=1.0), "(format)")
    yield _seal_fails("domain-unknown", _with(domain="cluster"), "(domain)")
    yield _seal_fails("domain-number", _with(domain=1), "(domain)")
    yield _seal_fails("generation-0", _with(generation=0), "(generation)")
    yield _seal_fails("generation-of-64-bits", _with(generation=2**63), "(generation)")
    yield _seal_fails("id-not-a-uuid", _with(id="7b0c1f5e"), "(id)")
    yield _seal_fails("id-upper-case", _with(id=FILE_ID.upper()), "not canonical")
    yield _seal_fails("id-without-hyphens", _with(id=FILE_ID.replace("-", "")), "not canonical")
    yield _seal_fails("keyring-not-base64", _with(keyring="*"), "(keyring)")
    yield _seal_fails("keyring-not-ascii", _with(keyring="\u00e9"), "(keyring)")
    yield _seal_fails("keyring-number", _with(keyring=1), "(keyring)")
    yield _seal_fails("keyring-empty", _with(keyring=""), "does not open")


def _wrong_slots() -> Iterator[Vector]:
    wrapped = str(_slot()["wrapped"])
    yield _seal_fails("no-slots", _with(slots=[]), "(slots)")
    yield _seal_fails("slots-object", _with(slots={}), "(slots)")
    yield _seal_fails("slot-text", _with(slots=["x"]), "(slot)")
    yield _seal_fails("slot-twice", _with(slots=[_slot(), _slot()]), "(slots)")
    yield _seal_fails("slot-member-unknown", _with_slot(comment="x"), "(slot)")
    yield _seal_fails("slot-kind-unknown", _with_slot(kind="floppy"), "(slot kind)")
    yield _seal_fails("slot-kind-changed", _with_slot(kind="credential"), "no slot for the root key file")
    yield _seal_fails("slot-id-changed", _with_slot(id=CREDENTIAL_SLOT), "does not open this keyring")
    yield _seal_fails("slot-id-not-a-uuid", _with_slot(id="x"), "(slot id)")
    yield _seal_fails("wrapped-short", _with_slot(wrapped=page.base64(bytes(59))), "(slot wrapped)")
    yield _seal_fails("wrapped-long", _with_slot(wrapped=page.base64(bytes(61))), "(slot wrapped)")
    yield _seal_fails("wrapped-line-feed", _with_slot(wrapped=wrapped + "\n"), "(slot wrapped)")
    yield _seal_fails("wrapped-zero", _with_slot(wrapped=page.base64(bytes(60))), "does not open this keyring")


def _wrong_keys() -> Iterator[Vector]:
    wrong = {"slot-key": run(200, 32).hex()}
    yield _seal_fails("wrong-slot-key", _document(), "the root key file does not open this keyring", **wrong)
    yield _seal_fails("root-key-as-slot-key", _document(), "does not open", **{"slot-key": ROOT_KEY.hex()})
    yield _seal_fails("no-such-slot", _document(), "no slot for the root key credential", kind="credential")
    for size in (0, 16, 24, 31, 33):
        yield _seal_fails(f"slot-key-of-{size}", _document(), "exactly 32", **{"slot-key": run(0, size).hex()})
    other_root = _with(slots=[_slot(root=run(77, 32))])
    yield _seal_fails("root-key-of-another-file", other_root, "root key does not open")
    foreign = page.slot(FILE_KEY, run(160, 12), ROOT_KEY, file_id=CREDENTIAL_SLOT, kind="local-file", slot_id=FILE_SLOT)
    yield _seal_fails("slot-of-another-file", _with(slots=[foreign]), "does not open this keyring")


def _relabelled_seal_files() -> Iterator[Vector]:
    says = "root key does not open"
    yield _seal_fails("domain-changed", _with(domain="node"), says)
    yield _seal_fails("generation-changed", _with(generation=2), says)
    yield _seal_fails("id-changed", _with(id=CREDENTIAL_SLOT), "does not open this keyring")
    yield _seal_fails(
        "keyring-of-another-generation", _with(keyring=_document(bound=(FILE_ID, "shared", 2))["keyring"]), says
    )
    yield _seal_fails("keyring-of-the-node", _with(keyring=_document(bound=(FILE_ID, "node", 1))["keyring"]), says)
    keyring = str(_document()["keyring"])
    yield _seal_fails("keyring-flipped", _with(keyring="A" + keyring[1:]), says)
    yield _seal_fails("keyring-cut", _with(keyring=keyring[:-4]), says)
    yield _seal_fails(
        "keyring-under-a-slot-key",
        _with(keyring=page.base64(page.sealed_keyring(FILE_KEY, run(172, 12), PAYLOAD, BOUND))),
        says,
    )


def _payload_with(**members: object) -> bytes:
    return page.canonical(json.loads(PAYLOAD) | members)


def _wrong_payloads() -> Iterator[Vector]:
    key = page.base64(run(64, 32))
    cases: tuple[tuple[str, bytes, str], ...] = (
        ("payload-empty", b"", "not a JSON object"),
        ("payload-an-array", b"[]", "not a JSON object"),
        ("payload-member-missing", page.canonical({"current": 1}), "(payload)"),
        ("payload-member-unknown", _payload_with(comment=""), "(payload)"),
        ("payload-white-space", PAYLOAD + b" ", "payload not canonical"),
        ("current-unknown", _payload_with(current=2), "payload not canonical"),
        ("current-not-highest", _payload_with(current=1, versions={"1": key, "2": key}), "payload not canonical"),
        ("current-true", _payload_with(current=True), "payload not canonical"),
        ("no-versions", _payload_with(versions={}), "(versions)"),
        ("versions-array", _payload_with(versions=[key]), "(versions)"),
        ("version-0", _payload_with(versions={"0": key}), "(versions)"),
        ("version-word", _payload_with(versions={"one": key}), "(versions)"),
        ("version-of-33-bits", _payload_with(current=2**32, versions={str(2**32): key}), "(versions)"),
        ("version-long", _payload_with(versions={"1" * 5_000: key}), "(versions)"),
        ("version-leading-zero", _payload_with(versions={"01": key}), "payload not canonical"),
        ("version-other-digits", _payload_with(versions={"\u0661": key}), "payload not canonical"),
        ("version-key-short", _payload_with(versions={"1": page.base64(bytes(31))}), "(versions)"),
        ("version-key-of-16", _payload_with(versions={"1": page.base64(bytes(16))}), "(versions)"),
        ("index-short", _payload_with(index=page.base64(bytes(31))), "(index)"),
        ("index-null", _payload_with(index=None), "(index)"),
        ("digest-long", _payload_with(digest=page.base64(bytes(33))), "(digest)"),
        ("base64-unused-bits", PAYLOAD.replace(b"n8=", b"n9="), "payload not canonical"),
        ("base64-unpadded", PAYLOAD.replace(b"n8=", b"n8"), "(index)"),
        ("base64-url-alphabet", _payload_with(index=page.base64(b"\xff" * 32).replace("/", "_")), "(index)"),
    )
    for label, payload, says in cases:
        yield _seal_fails(label, _document(payload), says)


def seal_files() -> Vector:
    """Make seal-files.json."""
    groups = (
        _good_seal_files,
        _misspelt_seal_files,
        _wrong_members,
        _wrong_slots,
        _wrong_keys,
        _relabelled_seal_files,
        _wrong_payloads,
    )
    return {"source": SOURCE, "vectors": [vector for group in groups for vector in group()]}


# Padding. Bytes are written as runs: [hexadecimal, how often].

Runs = list[tuple[str, int]]


def _padding(label: str, plaintext: Runs, outcome: str | Runs) -> Vector:
    expected = (
        {"outcome": "store-corrupt", "says": outcome}
        if isinstance(outcome, str)
        else {"outcome": "success", "value": outcome}
    )
    return {"id": label, "plaintext": plaintext, **expected}


def _padded(length: int, size: int) -> Runs:
    return [(length.to_bytes(4, "big").hex(), 1), ("61", length), ("00", size - length)]


def padding() -> Vector:
    """Make padding.json."""
    size_error, length_error, zero_error = "padded size", "length does not fit", "not zero"
    edges = ((1, 64), (64, 64), (65, 256), (256, 256), (257, 1024), (1024, 1024), (1025, 4096), (4096, 4096))
    more = ((4097, 16384), (16384, 16384), (16385, 65536), (65536, 65536))
    vectors = [_padding(f"length-{length}", _padded(length, size), [("61", length)]) for length, size in edges + more]
    vectors.append(_padding("value-of-zeros", [("00000003", 1), ("00", 64)], [("00", 3)]))
    vectors += [
        _padding("empty", [], size_error),
        _padding("length-only", [("00000001", 1)], size_error),
        _padding("size-63", _padded(1, 63), size_error),
        _padding("size-65", _padded(1, 65), size_error),
        _padding("size-128", _padded(100, 128), size_error),
        _padding("size-65537", _padded(65537, 65537), size_error),
        _padding("size-262144", _padded(65537, 262144), size_error),
        _padding("length-0", _padded(0, 64), length_error),
        _padding("length-past-size", [("00000041", 1), ("61", 64)], length_error),
        _padding("length-of-32-bits", [("ffffffff", 1), ("61", 64)], length_error),
        _padding("length-little-endian", [("01000000", 1), ("61", 1), ("00", 63)], length_error),
        _padding("size-not-the-least", _padded(64, 256), length_error),
        _padding("size-the-greatest-for-1", _padded(1, 65536), length_error),
        _padding("first-padding-byte", [("00000001", 1), ("6161", 1), ("00", 62)], zero_error),
        _padding("last-padding-byte", [("00000001", 1), ("61", 1), ("00", 62), ("01", 1)], zero_error),
        _padding("padding-of-spaces", [("00000001", 1), ("61", 1), ("20", 63)], zero_error),
    ]
    return {"source": SOURCE, "vectors": vectors}


# Lookup keys and digests.


def derived() -> Vector:
    """Make derived.json."""
    usages = (
        ("volume", "/srv/disk.qcow2"),
        ("ceph", "client.admin secret"),
        ("iscsi", "iqn.2026-01.example:storage"),
        ("tls", "e"),
        ("vtpm", "na\u00efve \U0001f511"),
        ("volume", "/" + "a" * 4095),
    )
    counters = ((1, 0), (1, 1), (1_000_001, 1_000_007), (2**62, 2**62 + 1), (2**64 - 1, 2**64 - 1))
    return {
        "source": SOURCE,
        "index-key": INDEX_KEY.hex(),
        "digest-key": DIGEST_KEY.hex(),
        "usages": [
            {"type": kind, "usage-id": text, "key": page.usage_key(INDEX_KEY, kind, text).hex()}
            for kind, text in usages
        ],
        "digests": [
            {
                "secret": FILE_ID,
                "attributes": attributes,
                "value": value,
                "digest": page.object_digest(DIGEST_KEY, bytes.fromhex(FILE_ID.replace("-", "")), attributes, value),
            }
            for attributes, value in counters
        ],
    }


# Grants. Both are written by hand: what is kept, and the document that it stands for.

_GRANT: dict[str, object] = {
    "access-key": None,
    "conditions": None,
    "description": None,
    "expires": None,
    "format": 1,
    "limits": None,
    "name": "web",
    "permissions": ["getattr", "read-secure"],
    "principal": {"executable": None, "kind": "user", "number": 33, "unit": None},
    "scopes": [["usage", "tls", "web/*"]],
}
_UNIT = {"executable": None, "kind": "unit", "number": None, "unit": "nginx.service"}
_RUNNING = {"path": "/usr/sbin/nginx", "sha256": None}
_ANYONE = {"executable": None, "kind": "anyone", "number": None, "unit": None}


def _grant_opens(label: str, document: str, **members: object) -> Vector:
    plaintext = page.canonical(_GRANT | members).decode("ascii")
    return {"id": label, "outcome": "success", "plaintext": plaintext, "document": document}


def _grant_document(
    principal: str = "<user uid='33'/>",
    permissions: tuple[str, ...] = ("getattr", "read-secure"),
    scopes: tuple[str, ...] = ("<usage type='tls' pattern='web/*'/>",),
    description: str = "",
    expires: str = "",
) -> str:
    """Write the document of a grant; what is given is markup."""
    lines = ["<grant>", "  <name>web</name>"]
    lines += [f"  <description>{description}</description>"] if description else []
    lines += ["  <principal>", *(f"    {line}" for line in principal.split("\n")), "  </principal>"]
    lines += ["  <allow>", *(f"    <permission name='{one}'/>" for one in permissions), "  </allow>"]
    lines += ["  <scope>", *(f"    {scope}" for scope in scopes), "  </scope>"]
    lines += [f"  <expires>{expires}</expires>"] if expires else []
    return "\n".join([*lines, "</grant>", ""])


def _good_grants() -> Iterator[Vector]:
    yield _grant_opens("user", _grant_document())
    yield _grant_opens("group", _grant_document("<group gid='0'/>"), principal=_with_number("group", 0))
    yield _grant_opens(
        "greatest-number", _grant_document("<user uid='4294967294'/>"), principal=_with_number("user", 2**32 - 2)
    )
    yield _grant_opens("unit", _grant_document("<unit name='nginx.service'/>"), principal=_UNIT)
    yield _grant_opens(
        "unit-and-executable",
        _grant_document("<unit name='nginx.service'/>\n<executable path='/usr/sbin/nginx'/>"),
        principal=_UNIT | {"executable": _RUNNING},
    )
    digits = "0123456789abcdef" * 4
    yield _grant_opens(
        "executable-of-that-content",
        _grant_document(f"<user uid='33'/>\n<executable path='/usr/sbin/nginx' sha256='{digits}'/>"),
        principal=_with_number("user", 33) | {"executable": _RUNNING | {"sha256": digits}},
    )
    yield _grant_opens("anyone", _grant_document("<anyone/>"), principal=_ANYONE)
    of_secrets = ("search", "getattr", "read", "read-secure", "append", "write", "save", "delete", "admin")
    yield _grant_opens(
        "every-permission-before-there-were-keys",
        _grant_document(permissions=of_secrets, scopes=("<all/>",)),
        permissions=sorted(of_secrets),
        scopes=[["all"]],
    )
    of_keys = ("archive", "encrypt", "decrypt", "generate", "generate-wrapped", "export", "key-admin")
    everything = (*of_secrets[:-1], *of_keys, "admin")
    yield _grant_opens(
        "every-permission",
        _grant_document(permissions=everything, scopes=("<all/>", "<keys/>")),
        permissions=sorted(everything),
        scopes=[["all"], ["keys"]],
    )
    yield _grant_opens(
        "each-kind-of-scope",
        _grant_document(
            scopes=(
                f"<secret uuid='{FILE_ID}'/>",
                "<usage type='none'/>",
                "<usage type='volume'/>",
                "<usage type='volume' pattern='/srv/**'/>",
                "<usage type='iscsi' pattern='a&#10;&lt;*'/>",
            )
        ),
        scopes=[
            ["secret", FILE_ID],
            ["usage", "none", None],
            ["usage", "volume", None],
            ["usage", "volume", "/srv/**"],
            ["usage", "iscsi", "a\n<*"],
        ],
    )
    yield _grant_opens(
        "each-kind-of-scope-of-keys",
        _grant_document(
            permissions=("decrypt",),
            scopes=(
                "<keys/>",
                "<key id='nightly'/>",
                f"<key id='{FILE_ID}'/>",
                "<key pattern='backup-*'/>",
                "<key tag='env' value=''/>",
                "<key tag='o&#10;n' value='a&lt;\u00e9'/>",
            ),
        ),
        permissions=["decrypt"],
        scopes=[
            ["keys"],
            ["key", "nightly"],
            ["key", FILE_ID],
            ["key-pattern", "backup-*"],
            ["key-tag", "env", ""],
            ["key-tag", "o\nn", "a<\u00e9"],
        ],
    )
    yield _grant_opens(
        "described-and-ending",
        _grant_document(description="na\u00efve &lt;web&gt;", expires="2027-12-31T23:59:59Z"),
        description="na\u00efve <web>",
        expires="2027-12-31T23:59:59Z",
    )


def _with_number(kind: str, number: object) -> dict[str, object]:
    return {"executable": None, "kind": kind, "number": number, "unit": None}


_WRONG_KEY_SCOPES: dict[str, list[object]] = {
    "keys-longer": ["keys", None],
    "key-none": ["key", None],
    "key-of-two-characters": ["key", "ab"],
    "key-with-a-star": ["key", "a*c"],
    "key-upper-case-id": ["key", FILE_ID.upper()],
    "key-pattern-empty": ["key-pattern", ""],
    "key-pattern-number": ["key-pattern", 1],
    "key-pattern-of-another-alphabet": ["key-pattern", "a/*"],
    "key-pattern-too-long": ["key-pattern", "a" * 65],
    "key-tag-shorter": ["key-tag", "env"],
    "key-tag-without-a-name": ["key-tag", "", "prod"],
    "key-tag-number": ["key-tag", "env", 1],
    "key-tag-array": ["key-tag", "env", []],
    "key-tag-no-xml": ["key-tag", "env", "\0"],
}


def _wrong_grants() -> Iterator[Vector]:
    without = {name: value for name, value in _GRANT.items() if name != "limits"}
    user = _with_number("user", 33)
    wrong: dict[str, dict[str, object]] = {
        "format-0": {"format": 0},
        "format-2": {"format": 2},
        "format-true": {"format": True},
        "format-fraction": {"format": 1.0},
        "member-unknown": {"comment": None},
        "limits": {"limits": {}},
        "conditions": {"conditions": []},
        "access-key": {"access-key": "x"},
        "name-empty": {"name": ""},
        "name-too-long": {"name": "n" * 65},
        "name-a-number": {"name": 1},
        "description-empty-array": {"description": []},
        "description-too-long": {"description": "d" * 1_025},
        "expires-number": {"expires": 1_800_000_000},
        "expires-no-day": {"expires": "2027-02-30T00:00:00Z"},
        "expires-other-zone": {"expires": "2027-12-31T23:59:59+00:00"},
        "expires-other-spelling": {"expires": "2027-12-31 23:59:59Z"},
        "permission-unknown": {"permissions": ["getattr", "own"]},
        "permission-twice": {"permissions": ["getattr", "getattr"]},
        "permissions-none": {"permissions": []},
        "permissions-unsorted": {"permissions": ["read-secure", "getattr"]},
        "permissions-text": {"permissions": "read"},
        "admin-of-some": {"permissions": ["admin"]},
        "principal-null": {"principal": None},
        "principal-unknown": {"principal": _with_number("key", 33)},
        "principal-member-unknown": {"principal": user | {"key": None}},
        "root": {"principal": _with_number("user", 0)},
        "number-true": {"principal": _with_number("user", True)},
        "number-fraction": {"principal": _with_number("user", 33.0)},
        "number-negative": {"principal": _with_number("user", -1)},
        "number-of-33-bits": {"principal": _with_number("user", 2**32)},
        "number-that-is-none": {"principal": _with_number("user", 2**32 - 1)},
        "user-and-unit": {"principal": user | {"unit": "nginx.service"}},
        "unit-and-number": {"principal": _UNIT | {"number": 33}},
        "unit-no-service": {"principal": _UNIT | {"unit": "user.slice"}},
        "anyone-and-number": {"principal": _ANYONE | {"number": 33}},
        "anyone-and-executable": {"principal": _ANYONE | {"executable": _RUNNING}},
        "executable-relative": {"principal": user | {"executable": _RUNNING | {"path": "nginx"}}},
        "executable-interpreter": {"principal": user | {"executable": _RUNNING | {"path": "/usr/bin/python3.11"}}},
        "executable-member-unknown": {"principal": user | {"executable": _RUNNING | {"user": "root"}}},
        "executable-upper-case-hash": {"principal": user | {"executable": _RUNNING | {"sha256": "A" * 64}}},
        "scopes-none": {"scopes": []},
        "scopes-object": {"scopes": {}},
        "scope-empty": {"scopes": [[]]},
        "scope-unknown": {"scopes": [["owner", 33]]},
        "scope-longer": {"scopes": [["all", None]]},
        "scope-shorter": {"scopes": [["usage", "tls"]]},
        "scope-twice": {"scopes": [["all"], ["all"]]},
        "scope-upper-case-id": {"scopes": [["secret", FILE_ID.upper()]]},
        "scope-no-id": {"scopes": [["secret", "x"]]},
        "usage-unknown": {"scopes": [["usage", "disk", None]]},
        "pattern-empty": {"scopes": [["usage", "tls", ""]]},
        "pattern-number": {"scopes": [["usage", "tls", 1]]},
        "pattern-of-none": {"scopes": [["usage", "none", "*"]]},
        "pattern-no-path": {"scopes": [["usage", "volume", "**"]]},
        "pattern-up": {"scopes": [["usage", "volume", "/srv/../*"]]},
        "permission-of-keys-and-no-key": {"permissions": ["decrypt", "getattr"]},
        "permission-of-secrets-and-no-secret": {"permissions": ["getattr", "read"], "scopes": [["keys"]]},
        "scope-of-keys-and-no-permission": {"permissions": ["read"], "scopes": [["all"], ["keys"]]},
        "scope-of-secrets-and-no-permission": {"permissions": ["decrypt"], "scopes": [["all"], ["keys"]]},
    }
    for label, members in wrong.items():
        yield _grant_fails(label, page.canonical(_GRANT | members).decode("ascii"))
    for label, scope in _WRONG_KEY_SCOPES.items():
        members = {"permissions": ["getattr"], "scopes": [scope]}
        yield _grant_fails(label, page.canonical(_GRANT | members).decode("ascii"))
    good = page.canonical(_GRANT).decode("ascii")
    yield _grant_fails("member-missing", page.canonical(without).decode("ascii"))
    yield _grant_fails("member-twice", good.replace("{", '{"access-key":null,', 1))
    yield _grant_fails("white-space", good + " ")
    yield _grant_fails("escaped-letter", good.replace("web", "w\\u0065b", 1))
    yield _grant_fails("members-unsorted", json.dumps(dict(reversed(_GRANT.items())), separators=(",", ":")))
    yield _grant_fails("cut", good[:-1])
    yield _grant_fails("array", "[]")
    yield _grant_fails("empty", "")
    yield _grant_fails("not-ascii", good.replace("web", "w\u00e9b", 1))


def _grant_fails(label: str, plaintext: str) -> Vector:
    return {
        "id": label,
        "outcome": "store-corrupt",
        "says": "in a form this version does not know",
        "plaintext": plaintext,
    }


def grants() -> Vector:
    """Make grants.json."""
    return {"source": SOURCE, "vectors": [*_good_grants(), *_wrong_grants()]}


CORPORA: dict[str, Callable[[], Vector]] = {
    "records.json": records,
    "seal-files.json": seal_files,
    "padding.json": padding,
    "derived.json": derived,
    "grants.json": grants,
}


def text_of(corpus: Vector) -> str:
    """Write a corpus as it stands in its file, one vector's member a line."""
    return json.dumps(corpus, indent=1) + "\n"


def main() -> None:
    """Write every corpus into the directory that is named."""
    directory = Path(sys.argv[1])
    for name, make in CORPORA.items():
        (directory / name).write_text(text_of(make()), encoding="ascii")


if __name__ == "__main__":
    main()
