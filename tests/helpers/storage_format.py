"""A second writer of docs/storage-format.md, written from the page and sharing no code with secretd.crypto.

The vectors and the page's worked example are made by it, so that secretd.crypto is judged by something that
is not itself.  Nothing here is random: every nonce and key is given.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BUCKETS = (64, 256, 1024, 4096, 16384, 65536)

Json = Mapping[str, object]


def canonical(document: object) -> bytes:
    """Write canonical JSON."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def base64(data: bytes) -> str:
    """Write standard base64 with padding."""
    return b64encode(data).decode("ascii")


def box(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Write nonce, ciphertext and tag."""
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def record_header(domain: int, version: int, counter: int, fmt: int = 1) -> bytes:
    """Write the 14 bytes before the nonce."""
    return bytes([fmt, domain]) + version.to_bytes(4, "big") + counter.to_bytes(8, "big")


def record_associated(header: bytes, name: bytes) -> bytes:
    """Write what a record is bound to."""
    return b"secretd record\x00" + header + len(name).to_bytes(2, "big") + name


def record(key: bytes, header: bytes, name: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """Write a sealed record."""
    return header + box(key, nonce, plaintext, record_associated(header, name))


def padded(value: bytes) -> bytes:
    """Write a value's plaintext."""
    bucket = next(size for size in BUCKETS if size >= len(value))
    return len(value).to_bytes(4, "big") + value.ljust(bucket, b"\x00")


def payload(keys: Mapping[int, bytes], index: bytes, digest: bytes) -> bytes:
    """Write the keyring's payload."""
    versions = {str(version): base64(key) for version, key in keys.items()}
    return canonical({"current": max(keys), "digest": base64(digest), "index": base64(index), "versions": versions})


def slot_associated(file_id: str, kind: str, slot_id: str) -> bytes:
    """Write what a slot is bound to."""
    return b"secretd slot\x00" + canonical({"format": 1, "id": file_id, "kind": kind, "slot": slot_id})


def slot(slot_key: bytes, nonce: bytes, root_key: bytes, *, file_id: str, kind: str, slot_id: str) -> Json:
    """Write one slot."""
    wrapped = box(slot_key, nonce, root_key, slot_associated(file_id, kind, slot_id))
    return {"id": slot_id, "kind": kind, "wrapped": base64(wrapped)}


def keyring_associated(file_id: str, domain: str, generation: int) -> bytes:
    """Write what a sealed keyring is bound to."""
    return b"secretd keyring\x00" + canonical({"domain": domain, "format": 1, "generation": generation, "id": file_id})


def sealed_keyring(root_key: bytes, nonce: bytes, content: bytes, bound: tuple[str, str, int]) -> bytes:
    """Write the box of a keyring; ``bound`` is the seal file's id, domain and generation."""
    return box(root_key, nonce, content, keyring_associated(*bound))


def seal_document(bound: tuple[str, str, int], slots: Sequence[Json], sealed: bytes) -> dict[str, object]:
    """Write the members of a seal file."""
    file_id, domain, generation = bound
    return {
        "domain": domain,
        "format": 1,
        "generation": generation,
        "id": file_id,
        "keyring": base64(sealed),
        "slots": list(slots),
    }


def usage_key(index: bytes, usage_type: str, usage_id: str) -> bytes:
    """Write the lookup key of a usage."""
    message = b""
    for part in (usage_type.encode(), usage_id.encode()):
        message += len(part).to_bytes(4, "big") + part
    return hmac.new(index, message, hashlib.sha256).digest()


def set_hash_key(digest: bytes) -> bytes:
    """Write the key of the set-hash."""
    return hmac.digest(digest, b"secretd set-hash\x00", "sha256")


def set_hash(key: bytes, records: Mapping[bytes, bytes]) -> bytes:
    """Write the set-hash of records, each a name and a value."""
    total = 0
    for name, value in records.items():
        message = b"member\x00" + len(name).to_bytes(2, "big") + name + value[:14] + value[-16:]
        total += int.from_bytes(hmac.digest(key, message, "sha256"), "big")
    return (total % 2**256).to_bytes(32, "big")


def head_key(key: bytes, salt: bytes) -> bytes:
    """Write the key of one head."""
    return hmac.digest(key, b"head\x00" + salt, "sha256")


def head(key: bytes, salt: bytes, nonce: bytes, revision: int, sums: tuple[bytes, bytes]) -> bytes:
    """Write a head; ``sums`` are the set-hash of all records and that of the grants."""
    return salt + box(head_key(key, salt), nonce, revision.to_bytes(8, "big") + b"".join(sums), b"secretd head\x00")


def object_digest(digest: bytes, object_id: bytes, attributes_counter: int, value_counter: int) -> str:
    """Write the digest of a secret."""
    message = b"secretd digest\x00" + object_id
    message += attributes_counter.to_bytes(8, "big") + value_counter.to_bytes(8, "big")
    return hashlib.blake2b(message, digest_size=16, key=digest).hexdigest()


def context(pairs: Mapping[str, str]) -> bytes:
    """Write an encryption context, escaped by hand."""
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}

    def text(plain: str) -> str:
        escaped = [short.get(one) or (f"\\u00{ord(one):02x}" if one < " " else one) for one in plain]
        return f'"{"".join(escaped)}"'

    return ("{" + ",".join(f"{text(name)}:{text(pairs[name])}" for name in sorted(pairs)) + "}").encode()


def blob_head(key: str, version: int) -> bytes:
    """Write what a blob says in the clear."""
    return b"sdb\x01" + bytes([len(key)]) + key.encode("ascii") + version.to_bytes(4, "big")


def blob_key(material: bytes) -> bytes:
    """Derive what seals a blob from the bytes of a version."""
    return hmac.new(material, b"secretd blob\x00", hashlib.sha256).digest()


def blob_associated(head: bytes, pairs: Mapping[str, str]) -> bytes:
    """Write what a blob is bound to."""
    return b"secretd blob\x00" + head + context(pairs)


def blob(material: bytes, key: str, version: int, nonce: bytes, pairs: Mapping[str, str], plaintext: bytes) -> bytes:
    """Write a blob."""
    head = blob_head(key, version)
    return head + box(blob_key(material), nonce, plaintext, blob_associated(head, pairs))


def key_name(digest: bytes, key: str) -> bytes:
    """Derive what the names of a key's records have in common."""
    return hmac.new(digest, b"secretd key\x00" + key.encode("ascii"), hashlib.sha256).digest()


def key_digest(digest: bytes, key: str, counter: int) -> str:
    """Write the digest of a key."""
    message = b"secretd key digest\x00" + key.encode("ascii") + counter.to_bytes(8, "big")
    return hmac.new(digest, message, hashlib.sha256).hexdigest()[:32]
