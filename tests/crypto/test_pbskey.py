"""Key files of Proxmox Backup, opened and protected: against vectors, and against a second implementation.

Proxmox Backup's own client is not in Debian, so no test asks it.  What its tests have published are the vectors here.
Of protected files they have none, so those are held to a reader and a writer of their own, by other means than
secretd's: cryptography's KDFs and its plain GCM, where secretd has hashlib's and AESGCM.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import traceback
from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tree import ROOT
from secretd import limits
from secretd.crypto import pbskey
from secretd.crypto.pbskey import KdfBounds, Protection, open_key_file, write_key_file
from secretd.crypto.pbskeyfile import Kdf, KeyFile, Pbkdf2Kdf, ScryptKdf, format_fingerprint, parse, short_fingerprint
from secretd.errors import InvalidRequestError, KeyFileError, SecretdError, WrongPasswordError

KEY = bytes(range(32))
FINGERPRINT = "0eabd4460b6eb9ca345023dee2b778c790e54a1683b9659c0a57ae199090159b"
SHORT = "0e:ab:d4:46:0b:6e:b9:ca"
CREATED = 1_593_179_765
MODIFIED = 1_593_179_766
PASSWORD = b"correct horse"
HINT = "what horse?"
MIB = 1_048_576
BOUNDS = KdfBounds()

CHEAP: dict[str, Kdf] = {"scrypt": ScryptKdf(2, 1, 1, b"salt"), "pbkdf2": Pbkdf2Kdf(1, b"salt")}
"""The KDFs with the least costs that they have, so that a test may derive often."""

OWN: dict[str, Kdf] = {"scrypt": pbskey.scrypt_kdf(bytes(range(32))), "pbkdf2": pbskey.pbkdf2_kdf(bytes(range(32)))}
"""With the costs that Proxmox Backup gives them."""


def protected(kdf: Kdf, hint: str | None = HINT, key: bytes = KEY) -> bytes:
    return write_key_file(key, CREATED, MODIFIED, Protection(kdf, PASSWORD, bytes(16), hint))


def changed(file: bytes, **members: object) -> KeyFile:
    return parse(json.dumps(json.loads(file) | members).encode())


# The second implementation.


def second_derivation(kdf: dict[str, Any], password: bytes) -> bytes:
    ((name, costs),) = kdf.items()
    salt = b64decode(costs["salt"])
    if name == "Scrypt":
        return Scrypt(salt=salt, length=32, n=costs["n"], r=costs["r"], p=costs["p"]).derive(password)
    assert name == "PBKDF2"
    return PBKDF2HMAC(hashes.SHA256(), 32, salt, costs["iter"]).derive(password)


def second_id_key(key: bytes) -> bytes:
    return PBKDF2HMAC(hashes.SHA256(), 32, b"_id_key", 10).derive(key)


def second_fingerprint(key: bytes) -> str:
    constant = bytes.fromhex("6ed0ef77471fff4d55c7a8fe4a9db62161407f134c725ddf30992d25ec45ed26")
    digest = hashlib.sha256(constant + second_id_key(key)).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2))


def second_reader(file: bytes, password: bytes) -> bytes:
    members = json.loads(file)
    data = b64decode(members["data"])
    if members["kdf"] is None:
        return data
    iv, tag, ciphertext = data[:16], data[16:32], data[32:]
    cipher = Cipher(algorithms.AES(second_derivation(members["kdf"], password)), modes.GCM(iv, tag))
    opening = cipher.decryptor()
    return opening.update(ciphertext) + opening.finalize()


def second_writer(key: bytes, kdf: dict[str, Any], password: bytes, iv: bytes) -> bytes:
    sealing = Cipher(algorithms.AES(second_derivation(kdf, password)), modes.GCM(iv)).encryptor()
    ciphertext = sealing.update(key) + sealing.finalize()
    members = {
        "kdf": kdf,
        "created": "2020-06-26T15:56:05+02:00",
        "modified": "2020-06-26T13:56:06Z",
        "data": b64encode(iv + sealing.tag + ciphertext).decode(),
        "fingerprint": second_fingerprint(key),
    }
    return json.dumps(members).encode()


def kdf_members(kdf: Kdf) -> dict[str, Any]:
    salt = b64encode(kdf.salt).decode()
    if isinstance(kdf, ScryptKdf):
        return {"Scrypt": {"n": kdf.n, "r": kdf.r, "p": kdf.p, "salt": salt}}
    return {"PBKDF2": {"iter": kdf.iterations, "salt": salt}}


# What Proxmox Backup has published or does itself.


def test_the_published_key_has_its_published_fingerprint() -> None:
    assert pbskey.fingerprint(KEY).hex() == FINGERPRINT
    assert short_fingerprint(pbskey.fingerprint(KEY)) == SHORT
    assert pbskey.id_key(KEY).hex() == "7c2c013efd07f3b25717a485263343cd4d292a4b65c200bb3b18ea227abe225c"


@pytest.mark.parametrize("fingerprint", [None, FINGERPRINT, SHORT + ":" + FINGERPRINT[16:]])
def test_the_published_file(fingerprint: str | None) -> None:
    file = changed(write_key_file(KEY, CREATED, MODIFIED, None), fingerprint=fingerprint)
    assert open_key_file(file, None, BOUNDS) == KEY


def test_the_published_file_with_another_fingerprint() -> None:
    file = changed(write_key_file(KEY, CREATED, MODIFIED, None), fingerprint=":".join(["00"] * 32))
    with pytest.raises(KeyFileError) as caught:
        open_key_file(file, None, BOUNDS)
    assert SHORT in caught.value.message
    assert "00:00:00:00:00:00:00:00" in caught.value.message


MANIFEST = {
    "backup-id": "elsa",
    "backup-time": 1_593_179_765,
    "backup-type": "host",
    "files": [
        {"crypt-mode": "encrypt", "csum": "01" * 32, "filename": "test1.img.fidx", "size": 200},
        {"crypt-mode": "none", "csum": "02" * 32, "filename": "abc.blob", "size": 200},
    ],
}
"""What is signed of the published manifest: all but ``unprotected`` and ``signature``."""


def test_a_password_signs_the_published_manifest() -> None:
    # The salt is empty. A file says so too, and is opened by what is derived here.
    kdf = pbskey.scrypt_kdf(b"")
    derived = pbskey.derive(kdf, b"test")
    signed = json.dumps(MANIFEST, sort_keys=True, separators=(",", ":")).encode()

    assert derived.hex() == "28cdb1a3bef39396c3860e00d448fe7a0efd8244486ab6feb30457681d31597e"
    assert second_derivation(kdf_members(kdf), b"test") == derived
    assert (
        hmac.new(pbskey.id_key(derived), signed, "sha256").hexdigest()
        == "d7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9"
    )


def test_an_unprotected_file_goes_through_a_master_key_of_4096_bits_and_not_of_2048() -> None:
    file = write_key_file(KEY, CREATED, MODIFIED, None)
    master = rsa.generate_private_key(65_537, 4096)

    sealed = master.public_key().encrypt(file, padding.PKCS1v15())

    assert (len(file), len(sealed)) == (255, 512)
    assert master.decrypt(sealed, padding.PKCS1v15()) == file
    with pytest.raises(ValueError, match="Encryption failed"):
        rsa.generate_private_key(65_537, 2048).public_key().encrypt(file, padding.PKCS1v15())


def test_the_file_that_the_page_shows_is_read_and_written_again() -> None:
    shown = (ROOT / "docs" / "pbs.md").read_text().split("```json\n")[1].split("\n")[0].encode()
    file = parse(shown)
    assert write_key_file(open_key_file(file, None, BOUNDS), file.created, file.modified, None) == shown


def test_an_unprotected_file_byte_by_byte() -> None:
    colons = ":".join(FINGERPRINT[at : at + 2] for at in range(0, 64, 2))
    assert write_key_file(KEY, CREATED, MODIFIED, None) == (
        b'{"kdf":null,"created":"2020-06-26T13:56:05+00:00","modified":"2020-06-26T13:56:06+00:00",'
        b'"data":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","fingerprint":"%s"}' % colons.encode()
    )


@pytest.mark.parametrize(("kdf", "size"), [("scrypt", 457), ("pbkdf2", 448)])
def test_a_protected_file_has_the_size_it_has_there(kdf: str, size: int) -> None:
    assert len(protected(OWN[kdf], "h" * 64)) == size


@pytest.mark.parametrize(
    ("kdf", "members"),
    [
        ("scrypt", {"Scrypt": {"n": 65_536, "r": 8, "p": 1, "salt": b64encode(bytes(range(32))).decode()}}),
        ("pbkdf2", {"PBKDF2": {"iter": 65_535, "salt": b64encode(bytes(range(32))).decode()}}),
    ],
)
def test_a_protected_file_has_the_costs_it_has_there(kdf: str, members: dict[str, Any]) -> None:
    file = protected(OWN[kdf])
    written = json.loads(file)

    assert list(written) == ["kdf", "created", "modified", "data", "fingerprint", "hint"]
    assert written["kdf"] == members
    assert list(written["kdf"].popitem()[1]) == list(members.popitem()[1])
    assert written["hint"] == HINT
    assert second_reader(file, PASSWORD) == KEY


# Both ways.


@given(
    key=st.binary(min_size=32, max_size=32),
    kdf=st.sampled_from(sorted(CHEAP)),
    password=st.binary(min_size=5, max_size=70),
    iv=st.binary(min_size=16, max_size=16),
    hint=st.none() | st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=64),
    created=st.integers(0, 253_402_300_799),
)
def test_what_is_written_is_read_here_and_there(
    key: bytes, kdf: str, password: bytes, iv: bytes, hint: str | None, created: int
) -> None:
    written = write_key_file(key, created, MODIFIED, Protection(CHEAP[kdf], password, iv, hint))
    file = parse(written)

    assert open_key_file(file, password, BOUNDS) == key
    assert (file.created, file.modified, file.hint) == (created, MODIFIED, hint)
    assert file.fingerprint == pbskey.fingerprint(key)
    assert second_reader(written, password) == key
    assert json.loads(written)["fingerprint"] == second_fingerprint(key)


@given(
    key=st.binary(min_size=32, max_size=32),
    kdf=st.builds(ScryptKdf, st.sampled_from([2, 4, 64]), st.integers(1, 3), st.integers(1, 3), st.binary(max_size=40))
    | st.builds(Pbkdf2Kdf, st.integers(1, 20), st.binary(max_size=40)),
    password=st.binary(min_size=5, max_size=70),
    iv=st.binary(min_size=16, max_size=16),
)
def test_what_another_writes_is_read(key: bytes, kdf: Kdf, password: bytes, iv: bytes) -> None:
    file = parse(second_writer(key, kdf_members(kdf), password, iv))

    assert file.kdf == kdf
    assert (file.created, file.modified, file.hint) == (CREATED, MODIFIED, None)
    assert open_key_file(file, password, BOUNDS) == key


@given(key=st.binary(min_size=32, max_size=32))
def test_an_unprotected_file_both_ways(key: bytes) -> None:
    written = write_key_file(key, CREATED, MODIFIED, None)

    assert open_key_file(parse(written), None, BOUNDS) == second_reader(written, b"") == key


# What is refused.


@pytest.mark.parametrize("kdf", CHEAP)
@pytest.mark.parametrize("position", range(64))
def test_data_with_a_bit_changed_does_not_open(kdf: str, position: int) -> None:
    file = parse(protected(CHEAP[kdf]))
    for bit in range(8):
        data = bytearray(file.data)
        data[position] ^= 1 << bit
        mutated = KeyFile(file.kdf, file.created, file.modified, bytes(data), file.fingerprint, file.hint)
        with pytest.raises(WrongPasswordError):
            open_key_file(mutated, PASSWORD, BOUNDS)


@pytest.mark.parametrize("position", range(32))
def test_an_unprotected_key_with_a_bit_changed_is_not_what_its_fingerprint_says(position: int) -> None:
    file = parse(write_key_file(KEY, CREATED, MODIFIED, None))
    data = bytearray(KEY)
    data[position] ^= 0x80
    with pytest.raises(KeyFileError, match="the file says that it is"):
        open_key_file(KeyFile(None, CREATED, MODIFIED, bytes(data), file.fingerprint), None, BOUNDS)


@pytest.mark.parametrize("kdf", CHEAP)
def test_a_protected_key_is_held_to_its_fingerprint_too(kdf: str) -> None:
    file = changed(protected(CHEAP[kdf]), fingerprint="11" * 32)
    with pytest.raises(KeyFileError) as caught:
        open_key_file(file, PASSWORD, BOUNDS)
    assert SHORT in caught.value.message
    assert "11:11:11:11:11:11:11:11" in caught.value.message


@pytest.mark.parametrize("kdf", CHEAP)
@pytest.mark.parametrize(
    ("password", "says"),
    [
        pytest.param(None, "protected", id="missing"),
        pytest.param(b"", "too short", id="empty"),
        pytest.param(b"four", "too short", id="too-short"),
        pytest.param(b"wrong", "does not open", id="wrong"),
        pytest.param(PASSWORD + b"\n", "does not open", id="with-a-line-end"),
    ],
)
@pytest.mark.parametrize("hint", [HINT, None])
def test_a_password_that_does_not_open(kdf: str, password: bytes | None, says: str, hint: str | None) -> None:
    file = parse(protected(CHEAP[kdf], hint))
    with pytest.raises(WrongPasswordError) as caught:
        open_key_file(file, password, BOUNDS)
    assert says in caught.value.message
    assert caught.value.message.endswith(f"its hint is: {HINT}") is (hint is not None)


def test_a_short_password_is_refused_before_anything_is_derived() -> None:
    # Beyond every bound, which would be the error if it came to that.
    file = parse(protected(CHEAP["pbkdf2"]))
    file = KeyFile(Pbkdf2Kdf(2**62, b""), file.created, file.modified, file.data)
    with pytest.raises(WrongPasswordError, match="too short"):
        open_key_file(file, b"four", BOUNDS)


def test_a_password_for_an_unprotected_file_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not protected") as caught:
        open_key_file(parse(write_key_file(KEY, CREATED, MODIFIED, None)), PASSWORD, BOUNDS)
    assert type(caught.value) is InvalidRequestError


@pytest.mark.parametrize("kdf", CHEAP)
def test_no_file_is_written_with_a_short_password(kdf: str) -> None:
    with pytest.raises(InvalidRequestError, match="at least 5 bytes"):
        write_key_file(KEY, CREATED, MODIFIED, Protection(CHEAP[kdf], b"four", bytes(16)))


# Costs.

WITHIN: dict[str, tuple[Kdf, KdfBounds]] = {
    "proxmox-backup": (pbskey.scrypt_kdf(b""), BOUNDS),
    "proxmox-backup-in-exactly-its-memory": (pbskey.scrypt_kdf(b""), KdfBounds(memory=64 * MIB)),
    "proxmox-backup-pbkdf2": (pbskey.pbkdf2_kdf(b""), KdfBounds(iterations=65_535)),
    "all-the-memory": (ScryptKdf(2**18, 8, 1, b""), BOUNDS),
    "all-the-work": (ScryptKdf(2**18, 8, 8, b""), BOUNDS),
    "little-memory-and-many-times": (ScryptKdf(2**14, 8, 128, b""), BOUNDS),
    "all-the-memory-beside": (ScryptKdf(2, 1, 2**18 - 2, b""), BOUNDS),
    "all-the-iterations": (Pbkdf2Kdf(10_000_000, b""), BOUNDS),
    "a-small-r": (ScryptKdf(2**15, 1, 1, b""), BOUNDS),
    "as-an-admin-says": (Pbkdf2Kdf(10_000_001, b""), KdfBounds(iterations=10_000_001)),
}

BEYOND: dict[str, tuple[Kdf, KdfBounds, str]] = {
    "n-one": (ScryptKdf(1, 8, 1, b""), BOUNDS, "none that scrypt has"),
    "n-no-power-of-two": (ScryptKdf(65_535, 8, 1, b""), BOUNDS, "none that scrypt has"),
    "n-too-large-for-r": (ScryptKdf(2**16, 1, 1, b""), BOUNDS, "none that scrypt has"),
    "r-times-p": (ScryptKdf(2, 2**15, 2**15, b""), KdfBounds(memory=2**60), "none that scrypt has"),
    "huge": (ScryptKdf(2**62, 2**62, 2**62, b""), BOUNDS, "none that scrypt has"),
    "memory": (ScryptKdf(2**18, 9, 1, b""), BOUNDS, f"at most {256 * MIB}"),
    "twice-the-memory": (ScryptKdf(2**19, 8, 1, b""), BOUNDS, f"{512 * MIB} bytes of memory"),
    "memory-beside": (ScryptKdf(2, 1, 2**18 - 1, b""), BOUNDS, "beside"),
    "a-huge-r": (ScryptKdf(2, 2**19, 1, b""), BOUNDS, "beside"),
    "work": (ScryptKdf(2**18, 8, 9, b""), BOUNDS, "work"),
    "work-in-little-memory": (ScryptKdf(2**14, 8, 129, b""), BOUNDS, "work"),
    "iterations": (Pbkdf2Kdf(10_000_001, b""), BOUNDS, "at most 10000000"),
    "iterations-an-admin-forbids": (pbskey.pbkdf2_kdf(b""), KdfBounds(iterations=65_534), "at most 65534"),
    "memory-an-admin-forbids": (pbskey.scrypt_kdf(b""), KdfBounds(memory=64 * MIB - 1), "bytes of memory"),
    "none-at-all": (CHEAP["scrypt"], KdfBounds(memory=0), "bytes of memory"),
}


@pytest.mark.parametrize("case", WITHIN)
def test_costs_within_the_bounds(case: str) -> None:
    pbskey.check_costs(*WITHIN[case])


@pytest.mark.parametrize("case", BEYOND)
def test_costs_beyond_the_bounds(case: str) -> None:
    kdf, bounds, says = BEYOND[case]
    file = KeyFile(kdf, CREATED, MODIFIED, bytes(64))
    with pytest.raises(KeyFileError) as caught:
        open_key_file(file, PASSWORD, bounds)
    assert says in caught.value.message


def test_the_bounds_are_those_of_the_limits() -> None:
    assert BOUNDS == KdfBounds(limits.KDF_MEMORY_BYTES, limits.KDF_ITERATIONS) == KdfBounds(256 * MIB, 10_000_000)


@settings(max_examples=25)
@given(n=st.sampled_from([2, 16, 256, 1024]), r=st.integers(1, 8), p=st.integers(1, 4), salt=st.binary(max_size=8))
def test_whatever_is_within_the_bounds_can_be_derived(n: int, r: int, p: int, salt: bytes) -> None:
    kdf = ScryptKdf(n, r, p, salt)
    pbskey.check_costs(kdf, BOUNDS)
    assert pbskey.derive(kdf, PASSWORD) == second_derivation(kdf_members(kdf), PASSWORD)


# Secrecy.


def seen(error: BaseException | None) -> str:
    text = ""
    while error is not None:
        text += "".join(traceback.format_exception(error)) + repr(vars(error))
        error = error.__cause__ or error.__context__
    return text


@pytest.mark.parametrize(
    ("file", "password"),
    [
        pytest.param(protected(CHEAP["scrypt"]), b"another horse", id="wrong-password"),
        pytest.param(protected(CHEAP["scrypt"]).replace(b"0e:ab", b"0e:ac"), PASSWORD, id="wrong-fingerprint"),
        pytest.param(write_key_file(KEY, CREATED, MODIFIED, None)[:-1], None, id="cut-short"),
        pytest.param(write_key_file(KEY, CREATED, MODIFIED, None).replace(b"0e:ab", b"0e:ac"), None, id="plain-wrong"),
        pytest.param(write_key_file(KEY, CREATED, MODIFIED, None).replace(b"Hh8=", b"Hh9="), None, id="not-canonical"),
    ],
)
def test_no_error_carries_a_key_or_a_password(file: bytes, password: bytes | None) -> None:
    with pytest.raises(SecretdError) as caught:
        open_key_file(parse(file), password, BOUNDS)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    text = seen(caught.value)
    for secret in (repr(KEY), KEY.hex(), "AAECAwQF", "horse'"):
        assert secret not in text


def test_no_repr_shows_a_key_or_a_password() -> None:
    file = parse(write_key_file(KEY, CREATED, MODIFIED, None))
    assert "data" not in repr(file)
    assert "horse" not in repr(Protection(CHEAP["scrypt"], PASSWORD, bytes(16)))


def test_a_fingerprint_in_full() -> None:
    assert format_fingerprint(pbskey.fingerprint(KEY)) == second_fingerprint(KEY)
