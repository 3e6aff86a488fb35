"""The ``<grant>`` document: the strict reading, and the one form in which it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from helpers.documents import SECRET_ID
from helpers.grants import GRANTS
from helpers.tree import ROOT
from secretd import limits
from secretd.documents import shapes
from secretd.documents.grant import read_grant, write_grant, write_grant_compactly
from secretd.documents.scalars import Scalar
from secretd.documents.vocabulary import load_schema
from secretd.errors import InvalidDocumentError, InvalidXmlError, SecretdError
from secretd.grants import (
    PERMISSIONS_OF,
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyTagged,
    PermissionSet,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
)
from secretd.keys import KeyId, Tag
from secretd.model import Permission, UsageType

CANARY = "hunter2"
RNG = "{http://relaxng.org/ns/structure/1.0}"


def document(
    name: str = "<name>web</name>",
    principal: str = "<anyone/>",
    allow: str = "<allow><permission name='read'/></allow>",
    scope: str = "<all/>",
    rest: str = "",
) -> str:
    return f"<grant>{name}<principal>{principal}</principal>{allow}<scope>{scope}</scope>{rest}</grant>"


DECRYPT = frozenset({Permission.DECRYPT})


def of_keys(scope: str) -> str:
    return document(allow="<allow><permission name='decrypt'/></allow>", scope=scope)


def grant(
    principal: Principal | None = None,
    permissions: frozenset[Permission] = frozenset({Permission.READ}),
    scope: Scope | None = None,
    description: str | None = None,
    expires: datetime | None = None,
) -> Grant:
    who = principal or Principal(PrincipalKind.ANYONE)
    return Grant("web", description, who, permissions, (scope or EverySecret(),), expires)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(document(), grant(), id="least"),
        pytest.param(document(principal="<user uid='33'/>"), grant(Principal(PrincipalKind.USER, 33)), id="user"),
        pytest.param(document(principal="<group gid='0'/>"), grant(Principal(PrincipalKind.GROUP, 0)), id="group"),
        pytest.param(
            document(principal="<executable path='/a'/><unit name='a.service'/>"),
            grant(Principal(PrincipalKind.UNIT, None, "a.service", ExecutableIs("/a"))),
            id="executable-first",
        ),
        pytest.param(
            document(principal=f"<user uid='7'/><executable path='/a&#10;b' sha256='{'0' * 64}'/>"),
            grant(Principal(PrincipalKind.USER, 7, None, ExecutableIs("/a\nb", "0" * 64))),
            id="executable-with-content",
        ),
        *(
            pytest.param(
                document(allow=f"<allow set='{ready_made.value}'/>"),
                grant(permissions=PERMISSIONS_OF[ready_made]),
                id=f"set-{ready_made.value}",
            )
            for ready_made in PermissionSet
            if not ready_made.value.startswith("key-")
        ),
        *(
            pytest.param(
                document(allow=f"<allow set='{ready_made.value}'/>", scope="<keys/>"),
                grant(permissions=PERMISSIONS_OF[ready_made], scope=EveryKey()),
                id=f"set-{ready_made.value}",
            )
            for ready_made in PermissionSet
            if ready_made.value.startswith("key-")
        ),
        *(
            pytest.param(of_keys(written), grant(permissions=DECRYPT, scope=scope), id=written)
            for written, scope in (
                ("<key id='nightly'/>", ThatKey(KeyId("nightly"))),
                (f"<key id='{SECRET_ID.upper()}'/>", ThatKey(KeyId(SECRET_ID))),
                ("<key pattern='backup-*'/>", KeyLike("backup-*")),
                ("<key tag='env' value='prod'/>", KeyTagged(Tag("env", "prod"))),
                ("<key value='' tag='a&#9;&lt;'/>", KeyTagged(Tag("a\t<", ""))),
            )
        ),
        pytest.param(
            document(allow="<allow><permission name='read'/><permission name='read'/></allow>"), grant(), id="twice"
        ),
        pytest.param(
            document(scope=f"<secret uuid='{SECRET_ID}'/>"), grant(scope=ThatSecret(UUID(SECRET_ID))), id="id"
        ),
        pytest.param(
            document(scope=f"<secret uuid='{SECRET_ID.upper()}'/>"),
            grant(scope=ThatSecret(UUID(SECRET_ID))),
            id="id-in-upper-case",
        ),
        *(
            pytest.param(
                document(scope=f"<usage type='{kind.value}'/>"), grant(scope=UsageLike(kind)), id=f"type-{kind.value}"
            )
            for kind in UsageType
        ),
        pytest.param(
            document(scope="<usage type='tls' pattern='a&#9;&#10;&lt;&apos;*'/>"),
            grant(scope=UsageLike(UsageType.TLS, "a\t\n<'*")),
            id="pattern",
        ),
        pytest.param(document(rest="<description/>"), grant(), id="empty-description"),
        pytest.param(document(rest="<description> a\nb </description>"), grant(description=" a\nb "), id="description"),
        pytest.param(
            document(rest="<expires>2027-12-31T23:59:59Z</expires>"),
            grant(expires=datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)),
            id="expires",
        ),
        pytest.param(
            "<?xml version='1.0'?>\n<!-- mine -->\n<grant>\n <scope><all/></scope> <allow>"
            "<permission name='read'/></allow><principal><anyone/></principal><name>w<!-- -->eb</name></grant>\n",
            grant(),
            id="any-order-and-comments",
        ),
    ],
)
def test_what_is_read(body: str, expected: Grant) -> None:
    assert read_grant(body.encode()) == expected


def test_the_example_of_the_page_is_in_the_one_form() -> None:
    page = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```xml\n(<grant>.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        assert write_grant(read_grant(example.encode())) == example


@given(made=GRANTS)
def test_a_grant_comes_back_as_it_was(made: Grant) -> None:
    body = write_grant(made).encode()
    assert read_grant(body) == made
    assert write_grant(read_grant(body)).encode() == body
    assert read_grant(write_grant_compactly(made).encode()) == made


def test_the_longest_grant_can_be_read() -> None:
    lengths = [limits.USAGE_ID_BYTES, *range(1, limits.GRANT_SCOPES - 3)]
    lengths.append(limits.GRANT_PATTERNS_BYTES - sum(lengths))
    made = Grant(
        "n" * limits.GRANT_NAME_CHARACTERS,
        '"' * limits.GRANT_DESCRIPTION_BYTES,
        Principal(
            PrincipalKind.UNIT,
            None,
            "u" * 247 + ".service",
            ExecutableIs("/" + "'" * (limits.GRANT_PATH_BYTES - 1), "0" * 64),
        ),
        frozenset(Permission),
        (EverySecret(), EveryKey(), *(UsageLike(UsageType.CEPH, "'" * length) for length in lengths)),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
    assert read_grant(write_grant(made).encode()) == made


SHORT = document()
KEY_NEEDS = "<key> needs one of: the attribute id; the attribute pattern; the attributes tag and value"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        pytest.param("<secret/>", InvalidDocumentError, "<secret> at the root, where <grant> is expected", id="root"),
        pytest.param(f"<!DOCTYPE grant>{SHORT}", InvalidXmlError, "a document type declaration", id="doctype"),
        pytest.param(SHORT + " " * limits.DOCUMENT_BYTES, InvalidXmlError, "at most 65536 bytes", id="long"),
        pytest.param("<grant/>", InvalidDocumentError, "<grant> needs the element <name>", id="nothing"),
        pytest.param(document(name=""), InvalidDocumentError, "<grant> needs the element <name>", id="no-name"),
        pytest.param(
            document(name="<name> web</name>"),
            InvalidDocumentError,
            "<name> does not hold a name of letters",
            id="name",
        ),
        pytest.param(
            document(rest="<name>x</name>"), InvalidDocumentError, "<grant> may hold one <name> only", id="names"
        ),
        pytest.param(
            document(principal=""), InvalidDocumentError, "<principal> must hold one of <user>, <group>", id="nobody"
        ),
        pytest.param(
            document(principal="<user uid='1'/><anyone/>"), InvalidDocumentError, "<principal> must hold one", id="two"
        ),
        pytest.param(
            document(principal="<user uid='1'/><user uid='2'/>"),
            InvalidDocumentError,
            "<principal> may hold one <user> only",
            id="two-users",
        ),
        pytest.param(
            document(principal="<executable path='/a'/>"), InvalidDocumentError, "<principal> must hold one", id="alone"
        ),
        pytest.param(
            document(principal="<anyone/><executable path='/a'/>"),
            InvalidDocumentError,
            "<executable> may not stand beside <anyone>",
            id="anyone-who-runs",
        ),
        pytest.param(
            document(principal="<user uid='www-data'/>"),
            InvalidDocumentError,
            "the attribute uid of <user> is not a number from 0 to 4294967294",
            id="a-name-for-a-uid",
        ),
        pytest.param(
            document(principal="<user name='a'/>"),
            InvalidDocumentError,
            "<user> may not have the attribute name",
            id="by-name",
        ),
        pytest.param(
            document(principal="<user uid='0'/>"),
            InvalidDocumentError,
            "line 1: root may do everything",
            id="root-user",
        ),
        pytest.param(
            document(principal="<unit name='nginx'/>"),
            InvalidDocumentError,
            "the attribute name of <unit> is not the name of a service",
            id="unit",
        ),
        pytest.param(
            document(principal="<user uid='1'/>\n<executable path='/bin/sh'/>"),
            InvalidDocumentError,
            "line 2: the executable is an interpreter",
            id="interpreter",
        ),
        pytest.param(
            document(allow="<allow/>"),
            InvalidDocumentError,
            "<allow> needs either the attribute set or",
            id="nothing-allowed",
        ),
        pytest.param(
            document(allow="<allow set='all'><permission name='admin'/></allow>"),
            InvalidDocumentError,
            "<allow> needs either the attribute set or",
            id="a-set-and-more",
        ),
        pytest.param(
            document(allow="<allow set='admin'/>"), InvalidDocumentError, "is not one of all, read-only", id="no-set"
        ),
        pytest.param(
            document(allow="<allow><permission name='own'/></allow>"),
            InvalidDocumentError,
            "the attribute name of <permission> is not one of search, getattr",
            id="no-permission",
        ),
        pytest.param(
            document(allow="<allow><permission name='admin'/></allow>", scope="<usage type='tls'/>"),
            InvalidDocumentError,
            "line 1: the permission admin needs the scope of all secrets",
            id="admin-of-some",
        ),
        pytest.param(
            document(scope=""),
            InvalidDocumentError,
            "<scope> must hold <all>, <secret>, <usage>, <keys> or <key>",
            id="no-scope",
        ),
        pytest.param(
            document(allow="<allow set='key-user'/>"),
            InvalidDocumentError,
            "line 1: the permission encrypt is for keys, and no scope is of keys",
            id="set-of-keys-over-secrets",
        ),
        pytest.param(
            document(allow="<allow set='read-only'/>", scope="<keys/>"),
            InvalidDocumentError,
            "line 1: the permission search is for secrets, and no scope is of secrets",
            id="set-of-secrets-over-keys",
        ),
        pytest.param(
            of_keys("<key id='ab'/>"), InvalidDocumentError, "the attribute id of <key> is not", id="short-key"
        ),
        pytest.param(
            of_keys("<key pattern='a/*'/>"),
            InvalidDocumentError,
            "the attribute pattern of <key> is not a pattern for keys",
            id="pattern-for-keys",
        ),
        pytest.param(of_keys("<key/>"), InvalidDocumentError, KEY_NEEDS, id="no-key"),
        pytest.param(of_keys("<key id='abc' pattern='a*'/>"), InvalidDocumentError, KEY_NEEDS, id="key-by-two"),
        pytest.param(of_keys("<key tag='env'/>"), InvalidDocumentError, KEY_NEEDS, id="tag-without-a-value"),
        pytest.param(
            of_keys(f"\n<key tag='{'a' * 129}' value=''/>"),
            InvalidDocumentError,
            "line 2: the name of a tag may have at most 128 characters",
            id="long-tag",
        ),
        pytest.param(
            document(scope="<all/><all/>"), InvalidDocumentError, "line 1: a scope is named twice", id="scope-twice"
        ),
        pytest.param(
            document(scope=f"<secret uuid='{UUID(SECRET_ID).hex}'/>"),
            InvalidDocumentError,
            "the attribute uuid of <secret> is not a UUID",
            id="id-without-dashes",
        ),
        pytest.param(
            document(scope="<secret private='yes'/>"),
            InvalidDocumentError,
            "may not have the attribute private",
            id="secret",
        ),
        pytest.param(
            document(scope="<usage type='none' pattern='*'/>"),
            InvalidDocumentError,
            "<usage> of type none may not have the attribute pattern",
            id="pattern-of-none",
        ),
        pytest.param(
            document(scope="<usage type='tls' pattern=''/>"),
            InvalidDocumentError,
            "the attribute pattern of <usage> is not a pattern",
            id="empty-pattern",
        ),
        pytest.param(
            document(scope="<usage type='tls'><name>a</name></usage>"),
            InvalidDocumentError,
            "<name> may not stand in <usage>",
            id="usage-as-in-a-secret",
        ),
        pytest.param(
            document(scope="\n<usage type='volume' pattern='/srv/../*'/>"),
            InvalidDocumentError,
            "line 2: a pattern for volumes begins with '/'",
            id="pattern-up",
        ),
        pytest.param(
            document(rest="<expires>2027-02-30T00:00:00Z</expires>"),
            InvalidDocumentError,
            "<expires> does not hold a moment like 2027-12-31T23:59:59Z",
            id="no-moment",
        ),
        pytest.param(document(rest="<limits/>"), InvalidDocumentError, "an unknown element in <grant>", id="unknown"),
    ],
)
def test_what_is_refused(body: str, error: type[SecretdError], message: str) -> None:
    with pytest.raises(error) as caught:
        read_grant(body.encode())
    assert type(caught.value) is error
    assert message in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(document(name=f"<name>{CANARY}!</name>"), id="name"),
        pytest.param(document(name=f"<name>web</name>{CANARY}"), id="text-between"),
        pytest.param(document(principal=f"<user uid='{CANARY}'/>"), id="uid"),
        pytest.param(document(principal=f"<unit name='{CANARY}'/>"), id="unit"),
        pytest.param(document(principal=f"<{CANARY}/>"), id="element"),
        pytest.param(document(principal=f"<user uid='1' {CANARY}='1'/>"), id="attribute"),
        pytest.param(document(principal=f"<user uid='1'/><executable path='{CANARY}'/>"), id="path"),
        pytest.param(document(principal=f"<user uid='1'/><executable path='/{CANARY}/sh'/>"), id="interpreter"),
        pytest.param(document(principal=f"<user uid='1'/><executable path='/a' sha256='{CANARY}'/>"), id="sha256"),
        pytest.param(document(allow=f"<allow set='{CANARY}'/>"), id="set"),
        pytest.param(document(allow=f"<allow><permission name='{CANARY}'/></allow>"), id="permission"),
        pytest.param(document(scope=f"<secret uuid='{CANARY}'/>"), id="uuid"),
        pytest.param(document(scope=f"<usage type='{CANARY}'/>"), id="type"),
        pytest.param(document(scope=f"<usage type='volume' pattern='{CANARY}'/>"), id="pattern"),
        pytest.param(of_keys(f"<key id='{CANARY}!'/>"), id="key"),
        pytest.param(of_keys(f"<key pattern='{CANARY}!'/>"), id="pattern-for-keys"),
        pytest.param(of_keys(f"<key tag='{CANARY * 20}' value='{CANARY}'/>"), id="tag"),
        pytest.param(of_keys(f"<key tag='{CANARY}'/>"), id="tag-without-a-value"),
        pytest.param(document(scope=f"<usage type='none' pattern='{CANARY}'/>"), id="pattern-of-none"),
        pytest.param(document(rest=f"<expires>{CANARY}</expires>"), id="expires"),
        pytest.param(document(rest=f"<description>{CANARY}&{CANARY};</description>"), id="entity"),
        pytest.param(document(rest=f"<description>{CANARY * 500}</description>"), id="description"),
        pytest.param(document() + CANARY, id="behind-the-end"),
    ],
)
def test_no_error_quotes_a_document(body: str) -> None:
    with pytest.raises(SecretdError) as caught:
        read_grant(body.encode())
    assert CANARY not in caught.value.message
    assert CANARY not in repr(caught.value.__context__)


@given(body=GRANTS.map(lambda made: write_grant(made).encode()), data=st.data())
def test_any_bytes_are_read_or_refused(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    mangled = body[:cut] + data.draw(st.binary(max_size=3)) + body[cut + data.draw(st.integers(0, 3)) :]
    with suppress(SecretdError):
        read_grant(mangled)


# The schema is written by hand: what it names is what the model has, and each text in it what the shapes parse.


def words(attribute: str, parent: str) -> set[str]:
    path = f".//{RNG}element[@name='{parent}']//{RNG}attribute[@name='{attribute}']//{RNG}value"
    return {str(found.text) for found in load_schema("grant.rng").iterfind(path)}


@pytest.mark.parametrize(
    ("attribute", "parent", "members"),
    [
        pytest.param("set", "allow", PermissionSet, id="sets"),
        pytest.param("name", "permission", Permission, id="permissions"),
    ],
)
def test_the_words_of_the_schema(attribute: str, parent: str, members: type[PermissionSet] | type[Permission]) -> None:
    assert words(attribute, parent) == {member.value for member in members}


def only(definition: str) -> etree.RelaxNG:
    """Make a schema of which the root's one attribute is a definition of grant.rng."""
    grammar = load_schema("grant.rng")
    (start,) = grammar.iterfind(f"{RNG}start")
    pattern = f"<attribute name='a'><ref name='{definition}'/></attribute>"
    start[:] = [etree.fromstring(f"<element name='x' xmlns='{RNG[1:-1]}'>{pattern}</element>")]
    return etree.RelaxNG(etree.fromstring(etree.tostring(grammar)))


SCALARS: Mapping[str, Scalar] = {
    "grant.name": shapes.GRANT_NAME,
    "grant.id": shapes.GRANT_ID,
    "grant.unit": shapes.GRANT_UNIT,
    "grant.path": shapes.GRANT_PATH,
    "grant.sha256": shapes.GRANT_SHA256,
    "grant.pattern": shapes.GRANT_PATTERN,
    "grant.key-pattern": shapes.GRANT_KEY_PATTERN,
}
SCHEMAS = {definition: only(definition) for definition in SCALARS}
TEXTS = st.one_of(
    st.sampled_from(["", "web", ".web", "a.b", "a" * 64, "a" * 65, "web\n", " web", "w\u00e9b", "-"]),
    st.sampled_from(["0", "00", "7", "-1", "+1", "4294967294", "4294967295", "9999999999", "10000000000", "\u0667"]),
    st.sampled_from(
        ["a.service", "a\\b-c@d:e_f.service", ".service", "a.socket", "a.service ", "u" * 248 + ".service"]
    ),
    st.sampled_from(["0" * 64, "0" * 63, "A" * 64, "g" * 64]),
    st.sampled_from(["a*" * 32, "a*" * 32 + "*", "a-_.*9Z", "a*\n", "caf\u00e9"]),
    st.text("ab.9_-/*", max_size=8),
)


@pytest.mark.parametrize("definition", SCALARS)
@given(text=TEXTS)
def test_parser_and_schema_agree(definition: str, text: str) -> None:
    accepted = SCHEMAS[definition].validate(etree.Element("x", {"a": text}))
    assert accepted == (SCALARS[definition].parse(text) is not None)
