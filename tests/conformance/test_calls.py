"""Calls by libvirt's own Python binding, with arguments of every shape: secretd answers as libvirtd does.

What is compared is what the caller gets: the result, the XML, the error's code, domain and level.
"""

from __future__ import annotations

from typing import Any

import pytest

from helpers.libvirt_both import TOKEN, Both, Call
from helpers.libvirt_client import LIFECYCLE, VALUE_CHANGED

ONE = "00000001-1111-4222-8333-444444444444"
TWO = "00000002-1111-4222-8333-444444444444"
NONE = "deadbeef-dead-4eef-8ead-beefdeadbeef"

VALIDATE = 1
CEPH = 2


def conn(function: str, *arguments: Any, on: str = "rw") -> Call:
    return Call(function, arguments, on=on)


def of(secret: str, function: str, *arguments: Any, on: str = "rw") -> Call:
    return Call(function, arguments, secret, on)


def document(
    uuid: str | None = ONE, usage: str = "<usage type='ceph'><name>one</name></usage>", **attributes: str
) -> str:
    written = "".join(f" {name}='{value}'" for name, value in attributes.items())
    id_element = f"<uuid>{uuid}</uuid>" if uuid else ""
    return f"<secret{written}>{id_element}{usage}</secret>"


def define(*arguments: Any, flags: int = 0, **attributes: Any) -> Call:
    return conn("secretDefineXML", document(*arguments, **attributes), flags)


def seen(uuid: str = ONE) -> list[Call]:
    """Look at a secret from all sides."""
    return [
        conn("secretLookupByUUIDString", uuid),
        of(uuid, "XMLDesc", 0),
        of(uuid, "value", 0),
        conn("listAllSecrets", 0),
        conn("numOfSecrets"),
    ]


TLS = "<usage type='tls'><name>one</name></usage>"
OTHER = "<usage type='ceph'><name>other</name></usage>"
DESCRIBED = "<description>a &lt;b&gt; &amp; 'c'</description><usage type='ceph'><name>one</name></usage>"

GETTERS = ["getType", "getVersion", "getHostname", "getURI", "isSecure", "isEncrypted", "isAlive", "numOfSecrets"]
OTHER_DRIVERS: list[tuple[Any, ...]] = [
    ("getCapabilities",),
    ("getInfo",),
    ("getSysinfo",),
    ("getMaxVcpus", None),
    ("getCellsFreeMemory", 0, 1),
    ("numOfDomains",),
    ("listDomainsID",),
    ("listAllDomains", 0),
    ("lookupByName", "x"),
    ("createXML", "<domain/>", 0),
    ("listAllNetworks", 0),
    ("listAllStoragePools", 0),
    ("storagePoolLookupByName", "x"),
    ("listAllInterfaces", 0),
    ("listAllDevices", 0),
    ("listAllNWFilters", 0),
    ("nodeDeviceLookupByName", "x"),
]

CASES: dict[str, list[Call]] = {
    "getters": [conn(name) for name in GETTERS],
    "getters-read-only": [conn(name, on="ro") for name in GETTERS],
    "other-drivers": [conn(*call) for call in OTHER_DRIVERS],
    "nothing-there": [
        conn("numOfSecrets"),
        conn("listSecrets"),
        conn("listAllSecrets", 0),
        conn("secretLookupByUUIDString", NONE),
        conn("secretLookupByUsage", CEPH, "one"),
    ],
    "define": [define(), *seen()],
    "define-without-an-id": [define(None), conn("listAllSecrets", 0), conn("secretLookupByUsage", CEPH, "one")],
    "define-two-without-anything": [conn("secretDefineXML", "<secret/>", 0)] * 2 + [conn("listAllSecrets", 0)],
    "define-flags": [define(flags=flags) for flags in (0, 1, 2, 3, 4, 0x8000_0000, 0xFFFF_FFFF)],
    "define-flags-before-the-document": [conn("secretDefineXML", "<bad", flags) for flags in (0, 1, 2, 3)],
    "define-validated": [
        define(flags=VALIDATE),
        define(ephemeral="yes", private="yes", flags=VALIDATE),
        define(colour="red", flags=VALIDATE),
        define(colour="red"),
        conn("secretDefineXML", document(usage="<usage type='ceph'/>"), VALIDATE),
        conn("secretDefineXML", document(usage="<usage type='unheard-of'><name>x</name></usage>"), VALIDATE),
        conn("secretDefineXML", document(uuid="zz"), VALIDATE),
        conn("secretDefineXML", "<domain/>", VALIDATE),
    ],
    "define-badly": [
        conn("secretDefineXML", text, 0)
        for text in (
            "",
            " ",
            "hello",
            "<secret>",
            "<secret></domain>",
            "<domain/>",
            document(uuid="zz"),
            document(uuid=ONE + "0"),
            document(uuid=" "),
            document(ephemeral="maybe"),
            document(private="1"),
            document(usage="<usage/>"),
            document(usage="<usage type='ceph'/>"),
            document(usage="<usage type='volume'><name>x</name></usage>"),
            document(usage="<usage type='iscsi'><target/></usage>"),
            document(usage="<usage type='unheard-of'><name>x</name></usage>"),
            document(usage="<usage type='ceph'><name>&nope;</name></usage>"),
        )
    ],
    "define-spelt-oddly": [
        call
        for uuid in (ONE.upper(), ONE.replace("-", ""), f"\n {ONE} ", ONE.replace("-", " - "))
        for call in (define(uuid), *seen(), of(ONE, "undefine"))
    ],
    "define-each-usage": [
        call
        for kind, element, usage_id in (
            ("volume", "volume", "/srv/a b.img"),
            ("ceph", "name", "client.x secret"),
            ("iscsi", "target", "iqn.2001-04.com.example:x"),
            ("tls", "name", "&lt;&amp;&gt;"),
            ("vtpm", "name", "é€"),
            ("none", "name", "ignored"),
        )
        for call in (
            define(ONE, f"<usage type='{kind}'><{element}>{usage_id}</{element}></usage>"),
            *seen(),
            of(ONE, "usageType"),
            of(ONE, "usageID"),
            of(ONE, "undefine"),
        )
    ],
    "redefine-description": [define(), define(ONE, DESCRIBED), *seen(), define(), *seen()],
    "redefine-keeps-the-value": [define(), of(ONE, "setValue", b"v", 0), define(ONE, DESCRIBED), *seen()],
    "redefine-another-usage-id": [define(), define(ONE, OTHER), define(ONE, ""), *seen()],
    "redefine-another-usage-type": [define(), define(ONE, TLS), *seen()],
    "redefine-from-no-usage": [define(ONE, ""), define(), *seen()],
    "redefine-ephemeral": [
        define(ephemeral="no"),
        of(ONE, "setValue", b"v", 0),
        define(ephemeral="yes"),
        *seen(),
        define(ephemeral="no"),
        *seen(),
    ],
    "redefine-private": [
        define(),
        of(ONE, "setValue", b"v", 0),
        define(private="yes"),
        *seen(),
        define(private="no"),
        define(),
        *seen(),
    ],
    "two-of-one-usage": [define(), define(TWO), define(None), conn("listAllSecrets", 0)],
    "two-of-one-usage-id": [define(), define(TWO, TLS), conn("secretLookupByUsage", 4, "one"), *seen(TWO)],
    "two-without-usage": [define(ONE, ""), define(TWO, ""), conn("listAllSecrets", 0)],
    "usage-free-again": [define(), of(ONE, "undefine"), define(TWO), *seen(TWO)],
    "values": [
        define(),
        of(ONE, "value", 0),
        *(
            call
            for value in (b"v", b"\0", b"a\0b\xff\n", bytes(range(256)), bytes(65_536), b"x" * 65_536)
            for call in (of(ONE, "setValue", value, 0), of(ONE, "value", 0))
        ),
        of(ONE, "setValue", b"", 0),
        of(ONE, "value", 0),
        of(ONE, "setValue", bytes(65_537), 0),
        of(ONE, "value", 0),
    ],
    "value-flags": [
        define(),
        *(of(ONE, "setValue", b"v", flags) for flags in (1, 2, 0x8000_0000, 0xFFFF_FFFF, 0)),
        *(of(ONE, "value", flags) for flags in (1, 2, 0x8000_0000, 0xFFFF_FFFF, 0)),
        *(of(ONE, "XMLDesc", flags) for flags in (1, 2, 0x8000_0000, 0xFFFF_FFFF, 0)),
    ],
    "value-of-an-ephemeral-secret": [
        define(ephemeral="yes"),
        of(ONE, "setValue", b"v", 0),
        *seen(),
        of(ONE, "undefine"),
    ],
    "value-of-a-private-secret": [
        define(private="yes"),
        of(ONE, "value", 0),
        of(ONE, "setValue", b"v", 0),
        of(ONE, "value", 0),
        of(ONE, "value", 1),
        conn("setIdentity", {"system.token": "00000000000000000000000000000000"}, 0),
        of(ONE, "value", 0),
        conn("setIdentity", {"system.token": TOKEN}, 0),
        of(ONE, "value", 0),
        conn("setIdentity", {"user-name": "x"}, 0),
        of(ONE, "value", 0),
    ],
    "undefined-and-used-still": [
        define(),
        of(ONE, "setValue", b"v", 0),
        of(ONE, "undefine"),
        of(ONE, "undefine"),
        of(ONE, "value", 0),
        of(ONE, "value", 1),
        of(ONE, "setValue", b"v", 0),
        of(ONE, "setValue", b"", 0),
        of(ONE, "XMLDesc", 0),
        of(ONE, "UUIDString"),
        define(),
        of(ONE, "value", 0),
    ],
    "lookups-by-id": [
        define(),
        *(conn("secretLookupByUUIDString", uuid) for uuid in (ONE, ONE.upper(), f" {ONE}", NONE, "", "zz")),
        *(conn("secretLookupByUUID", uuid) for uuid in (bytes(16), bytes(15), b"\xff" * 16)),
    ],
    "lookups-by-usage": [
        define(),
        define(TWO, ""),
        *(
            conn("secretLookupByUsage", CEPH, usage_id)
            for usage_id in ("one", "ONE", " one", "one ", "", "x" * 5_000, "é")
        ),
        *(conn("secretLookupByUsage", number, "one") for number in (0, 1, 3, 4, 5, 6, 99, -1, 2**31 - 1, -(2**31))),
        *(conn("secretLookupByUsage", 0, usage_id) for usage_id in ("", "(null)", TWO)),
    ],
    "identities": [
        conn("setIdentity", identity, 0)
        for identity in (
            {},
            {"user-name": "root", "group-name": "root", "unix-user-id": 0, "unix-group-id": 0},
            {"process-id": 1, "process-time": 1},
            {"selinux-context": "a:b:c", "sasl-user-name": "x", "x509-distinguished-name": "y"},
            {"nonsense": "x"},
            {"user-name": "x", "nonsense": 1},
        )
    ],
    "identity-flags": [conn("setIdentity", {"user-name": "x"}, flags) for flags in (0, 1, 0x8000_0000)],
    "read-only": [
        define(),
        define(TWO, OTHER, private="yes"),
        of(ONE, "setValue", b"v", 0),
        conn("secretLookupByUUIDString", ONE, on="ro"),
        conn("secretLookupByUsage", CEPH, "other", on="ro"),
        of(ONE, "XMLDesc", 0, on="ro"),
        of(TWO, "XMLDesc", 0, on="ro"),
        of(ONE, "value", 0, on="ro"),
        of(TWO, "value", 0, on="ro"),
        of(ONE, "setValue", b"w", 0, on="ro"),
        of(ONE, "undefine", on="ro"),
        conn("secretDefineXML", document(), 0, on="ro"),
        conn("setIdentity", {"system.token": TOKEN}, 0, on="ro"),
        of(TWO, "value", 0, on="ro"),
        conn("listAllSecrets", 0, on="ro"),
        conn("listSecrets", on="ro"),
        conn("numOfSecrets", on="ro"),
    ],
    "keepalive": [conn("setKeepAlive", 5, 3), conn("isAlive"), conn("setKeepAlive", 0, 0)],
    "close": [conn("close"), conn("numOfSecrets"), conn("close")],
}


@pytest.mark.parametrize("calls", CASES.values(), ids=CASES.keys())
def test_each_call_comes_to_the_same(both: Both, calls: list[Call]) -> None:
    both.open("ro", read_only=True)
    for call in calls:
        both.make(call)


@pytest.mark.parametrize("flags", [*range(32), 0x40, 0x8000_0000, 0xFFFF_FFFF])
def test_a_list_is_filtered_in_the_same_way(both: Both, flags: int) -> None:
    for number, (ephemeral, private) in enumerate([("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")]):
        usage = f"<usage type='ceph'><name>{number}</name></usage>" if number else ""
        both.call("secretDefineXML", document(f"{ONE[:-1]}{number}", usage, ephemeral=ephemeral, private=private), 0)

    both.call("listAllSecrets", flags)


def test_the_same_events_come_in_the_same_order(both: Both) -> None:
    both.call("secretDefineXML", document(), 0)
    both.listen(LIFECYCLE)
    both.listen(VALUE_CHANGED)
    both.listen(LIFECYCLE, ONE, label="one")
    both.listen(VALUE_CHANGED, ONE, label="one")
    both.listen(LIFECYCLE, ONE, label="one again")
    both.listen(LIFECYCLE, label="all again")
    for call in (
        define(),
        define(ONE, DESCRIBED),
        of(ONE, "setValue", b"v", 0),
        of(ONE, "setValue", b"v", 0),
        of(ONE, "setValue", b"", 0),
        of(ONE, "value", 0),
        define(TWO, OTHER, ephemeral="yes", private="yes"),
        of(TWO, "setValue", b"v", 0),
        define(TWO, OTHER, private="no"),
        define(TWO),
        of(TWO, "undefine"),
        of(TWO, "undefine"),
        define(ONE, TLS),
        of(ONE, "undefine"),
        define(ONE, ""),
    ):
        both.make(call)

    assert both.events()["result"]


def test_no_event_comes_once_nobody_listens(both: Both) -> None:
    both.listen(LIFECYCLE)
    listening = both.listen(VALUE_CHANGED)["result"]
    both.call("secretDefineXML", document(), 0)
    both.call("setValue", b"v", 0, secret=ONE)
    # What is still under way when the callback goes is lost to it, or not.
    assert len(both.events()["result"]) == 2

    both.call("secretEventDeregisterAny", listening)
    both.call("secretEventDeregisterAny", listening)
    both.call("secretEventDeregisterAny", 99)
    both.call("setValue", b"w", 0, secret=ONE)

    assert both.events()["result"] == []


def test_who_may_only_read_gets_the_same_events(both: Both) -> None:
    both.open("ro", read_only=True)
    both.open("listener", read_only=True)
    both.listen(LIFECYCLE)
    both.listen(LIFECYCLE, on="listener")
    both.listen(VALUE_CHANGED, on="listener")
    both.call("secretDefineXML", document(private="yes"), 0)
    both.call("setValue", b"v", 0, secret=ONE)
    both.call("undefine", secret=ONE)

    assert both.events(on="listener")["result"]
