"""The schemas: what is checked in is what the tables make, and each accepts and refuses what it should."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest
from lxml import etree

from helpers.documents import DIGEST, SECRET_ID
from helpers.tree import ROOT
from secretd.documents.schema import event_schema, reply_schema, request_schema
from secretd.documents.vocabulary import load_schema
from secretd.errors import WIRE_ERRORS
from secretd.operations import OPERATIONS

BARE_ID = SECRET_ID.replace("-", "")
SCHEMAS = sorted(path.name for path in (ROOT / "schemas").glob("*.rng"))


@cache
def schema(name: str) -> etree.RelaxNG:
    return etree.RelaxNG(load_schema(name))


def accepts(name: str, document: str) -> bool:
    return schema(name).validate(etree.fromstring(document))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        pytest.param("request.rng", request_schema, id="request"),
        pytest.param("reply.rng", reply_schema, id="reply"),
        pytest.param("event.rng", event_schema, id="event"),
    ],
)
def test_the_schema_is_made_from_the_table(name: str, made: object) -> None:
    assert callable(made)
    assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == made()


def test_there_are_schemas() -> None:
    assert {"secret.rng", "libvirt-secret.rng", "key.rng", "grant.rng"} < set(SCHEMAS)


def test_all_that_is_generated_is_current() -> None:
    checked = subprocess.run(
        [sys.executable, "-P", ROOT / "contrib/generate", "--check"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_also_load_as_any_validator_would_load_them(name: str) -> None:
    etree.RelaxNG(file=str(ROOT / "schemas" / name))


@pytest.mark.parametrize("operation", [pytest.param(row.name, id=row.name) for row in OPERATIONS])
def test_every_operation_is_known_to_both_schemas(operation: str) -> None:
    for name in ("request", "reply"):
        found = load_schema(f"{name}.rng").xpath(f"//*[local-name()='element' and @name='{operation}']")
        assert isinstance(found, list)
        assert len(found) == 1


@pytest.mark.parametrize("code", [pytest.param(code, id=code) for code in WIRE_ERRORS])
def test_every_code_is_known_to_the_schema_of_replies(code: str) -> None:
    assert accepts("reply.rng", f"<reply serial='1'><error code='{code}'>sentence</error></reply>")


SECRETS_ACCEPTED = [
    pytest.param("<secret/>", id="empty"),
    pytest.param("<secret ephemeral='yes' private='no'/>", id="flags"),
    pytest.param(f"<secret><uuid>{SECRET_ID}</uuid></secret>", id="uuid"),
    pytest.param(f"<secret><uuid>{SECRET_ID.upper()}</uuid></secret>", id="upper-case"),
    pytest.param(f"<secret><uuid>{BARE_ID}</uuid></secret>", id="without-dashes"),
    pytest.param("<secret><description/></secret>", id="empty-description"),
    pytest.param("<secret><description> any text </description></secret>", id="description"),
    pytest.param("<secret><usage type='volume'><volume>/a</volume></usage></secret>", id="volume"),
    pytest.param("<secret><usage type='ceph'><name>a</name></usage></secret>", id="ceph"),
    pytest.param("<secret><usage type='iscsi'><target>a</target></usage></secret>", id="iscsi"),
    pytest.param("<secret><usage type='tls'><name>a</name></usage></secret>", id="tls"),
    pytest.param("<secret><usage type='vtpm'><name>a</name></usage></secret>", id="vtpm"),
    pytest.param("<secret><usage type='none'/></secret>", id="none"),
    pytest.param("<secret><volume>/a</volume></secret>", id="short-form"),
    pytest.param(
        f"<secret><usage type='tls'><name>a</name></usage><description/><uuid>{SECRET_ID}</uuid></secret>",
        id="any-order",
    ),
]
SECRETS_REFUSED = [
    pytest.param("<secrets/>", id="another-root"),
    pytest.param("<secret>text</secret>", id="text"),
    pytest.param("<secret ephemeral='true'/>", id="true"),
    pytest.param("<secret ephemeral=' yes'/>", id="space-in-a-flag"),
    pytest.param("<secret private=''/>", id="empty-flag"),
    pytest.param("<secret type='volume'/>", id="attribute-of-another"),
    pytest.param("<secret><uuid/></secret>", id="empty-uuid"),
    pytest.param(f"<secret><uuid>{SECRET_ID[:-1]}</uuid></secret>", id="short-uuid"),
    pytest.param(f"<secret><uuid> {SECRET_ID}</uuid></secret>", id="space-in-a-uuid"),
    pytest.param(f"<secret><uuid>{SECRET_ID[:-1]}g</uuid></secret>", id="no-hex-digit"),
    pytest.param(f"<secret><uuid>{SECRET_ID}</uuid><uuid>{SECRET_ID}</uuid></secret>", id="two-uuids"),
    pytest.param("<secret><description>a<uuid/></description></secret>", id="element-in-a-description"),
    pytest.param("<secret><usage/></secret>", id="usage-without-a-type"),
    pytest.param("<secret><usage type='volume'/></secret>", id="usage-without-its-element"),
    pytest.param("<secret><usage type='volume'><volume/></usage></secret>", id="empty-id"),
    pytest.param("<secret><usage type='volume'><name>a</name></usage></secret>", id="element-of-another-type"),
    pytest.param("<secret><usage type='none'><name>a</name></usage></secret>", id="none-with-an-id"),
    pytest.param("<secret><usage type='tpm'><name>a</name></usage></secret>", id="unknown-type"),
    pytest.param("<secret><usage type='ceph'><name>a</name><name>b</name></usage></secret>", id="two-ids"),
    pytest.param("<secret><volume>a</volume><volume>b</volume></secret>", id="two-short-forms"),
    pytest.param("<secret><volume>a</volume><usage type='none'/></secret>", id="both-forms"),
    pytest.param("<secret xmlns='urn:x'/>", id="namespace"),
    pytest.param("<secret><frob/></secret>", id="unknown-element"),
]

ENTRY = f"secret='{SECRET_ID}' digest='{DIGEST}' ephemeral='no' private='no' has-value='yes'"
EVENTS_ACCEPTED = [
    pytest.param("<event><lost/></event>", id="lost"),
    *(pytest.param(f"<event><{name} {ENTRY}/></event>", id=name) for name in ("defined", "changed", "value-changed")),
    pytest.param(f"<event><defined {ENTRY}><usage type='ceph'><name>a</name></usage></defined></event>", id="usage"),
    pytest.param(f"<event><deleted secret='{SECRET_ID}'/></event>", id="deleted"),
]
EVENTS_REFUSED = [
    pytest.param("<event/>", id="nothing"),
    pytest.param("<event><lost/><lost/></event>", id="two"),
    pytest.param(f"<event><lost secret='{SECRET_ID}'/></event>", id="lost-with-an-id"),
    pytest.param("<event><defined/></event>", id="no-id"),
    pytest.param(f"<event><changed secret='{SECRET_ID}'/></event>", id="changed-without-digest"),
    pytest.param(f"<event><value-changed {ENTRY}><value>YQ==</value></value-changed></event>", id="with-a-value"),
    pytest.param(f"<event><deleted secret='{BARE_ID}'/></event>", id="without-dashes"),
    pytest.param(f"<event><deleted secret='{SECRET_ID}' digest='{DIGEST}'/></event>", id="deleted-with-digest"),
    pytest.param(f"<event><changed {ENTRY.replace(DIGEST, DIGEST.upper())}/></event>", id="upper-case-digest"),
    pytest.param(f"<event><undefined secret='{SECRET_ID}'/></event>", id="unknown"),
    pytest.param("<secret/>", id="a-secret"),
]

REQUESTS_ACCEPTED = [
    pytest.param("<request serial='0'><status/></request>", id="smallest-serial"),
    pytest.param("<request serial='4294967295'><status/></request>", id="largest-serial"),
    pytest.param("<request serial='1' descriptor='no'><status/></request>", id="no-descriptor"),
    pytest.param("<request serial='1'> <status> </status>\n</request>", id="white-space"),
    pytest.param(f"<request serial='1'><get-value secret='{SECRET_ID.upper()}'/></request>", id="upper-case-id"),
    pytest.param(
        f"<request serial='1'><set-xml secret='{SECRET_ID}' digest='{DIGEST}'><secret/></set-xml></request>",
        id="document",
    ),
    pytest.param(
        f"<request serial='1'><set-value secret='{SECRET_ID}'><value>YQ==</value></set-value></request>", id="value"
    ),
    pytest.param(
        f"<request serial='1'><set-value secret='{SECRET_ID}'><value descriptor='yes'/></set-value></request>",
        id="value-by-descriptor",
    ),
    pytest.param("<request serial='1'><list limit='1000' private='no' usage-type='none'/></request>", id="list"),
    pytest.param(
        "<request serial='1'><lookup-by-usage><usage type='tls'><name>a</name></usage></lookup-by-usage></request>",
        id="lookup",
    ),
]
REQUESTS_REFUSED = [
    pytest.param("<request serial='1'/>", id="no-operation"),
    pytest.param("<request serial='1'><status/><status/></request>", id="two-operations"),
    pytest.param("<request><status/></request>", id="no-serial"),
    pytest.param("<request serial='-1'><status/></request>", id="negative-serial"),
    pytest.param("<request serial='+1'><status/></request>", id="signed-serial"),
    pytest.param("<request serial='01'><status/></request>", id="leading-zero"),
    pytest.param("<request serial=' 1'><status/></request>", id="space-in-a-number"),
    pytest.param("<request serial='4294967296'><status/></request>", id="serial-too-large"),
    pytest.param(f"<request serial='{'9' * 5000}'><status/></request>", id="serial-of-5000-digits"),
    pytest.param("<request serial='1' descriptor='1'><status/></request>", id="descriptor-1"),
    pytest.param("<request serial='1'><frob/></request>", id="unknown-operation"),
    pytest.param("<request serial='1'><secret/></request>", id="a-part-as-operation"),
    pytest.param("<request serial='1'><get-value/></request>", id="field-missing"),
    pytest.param(f"<request serial='1'><get-value secret='{BARE_ID}'/></request>", id="id-without-dashes"),
    pytest.param("<request serial='1'><get-value secret=''/></request>", id="empty-id"),
    pytest.param("<request serial='1'><status secret=''/></request>", id="field-of-another"),
    pytest.param("<request serial='1'><define/></request>", id="document-missing"),
    pytest.param("<request serial='1'><define><secret/><secret/></define></request>", id="two-documents"),
    pytest.param(f"<request serial='1'><set-value secret='{SECRET_ID}'/></request>", id="value-missing"),
    pytest.param("<request serial='1'><list limit='0'/></request>", id="limit-0"),
    pytest.param("<request serial='1'><list limit='1001'/></request>", id="limit-1001"),
    pytest.param("<request serial='1'><list usage-type='Ceph'/></request>", id="word-in-another-case"),
    pytest.param(
        "<request serial='1'><lookup-by-usage><usage type='none'/></lookup-by-usage></request>", id="no-usage"
    ),
    pytest.param(
        f"<request serial='1'><delete secret='{SECRET_ID}' digest='{DIGEST[1:]}'/></request>", id="short-digest"
    ),
    pytest.param("<reply serial='1'><status/></reply>", id="a-reply"),
]

REPLIES_ACCEPTED = [
    pytest.param("<reply serial='1'><delete/></reply>", id="nothing-to-say"),
    pytest.param("<reply serial='1'><error code='conflict'/></reply>", id="error"),
    pytest.param("<reply message='1'><error code='invalid-xml'>text</error></reply>", id="error-by-ordinal"),
    pytest.param("<reply serial='1'><get-value><value>YQ==</value></get-value></reply>", id="value"),
    pytest.param("<reply serial='1'><list truncated='no'/></reply>", id="empty-page"),
    pytest.param(
        "<reply serial='1'><whoami uid='0' gid='0' pid='1' read-only='no' elevated='no'>"
        "<permission name='read-secure'/><group gid='0'/><group gid='1'/></whoami></reply>",
        id="several",
    ),
]
REPLIES_REFUSED = [
    pytest.param("<reply serial='1'/>", id="no-result"),
    pytest.param("<reply><delete/></reply>", id="to-nothing"),
    pytest.param("<reply serial='1' message='1'><error code='busy'/></reply>", id="to-both"),
    pytest.param("<reply message='1'><delete/></reply>", id="result-by-ordinal"),
    pytest.param("<reply message='0'><error code='busy'/></reply>", id="ordinal-0"),
    pytest.param("<reply serial='1'><error/></reply>", id="no-code"),
    pytest.param("<reply serial='1'><error code='unreachable'/></reply>", id="code-of-one-side-only"),
    pytest.param("<reply serial='1'><delete/><error code='busy'/></reply>", id="result-and-error"),
    pytest.param("<reply serial='1'><get-value/></reply>", id="value-missing"),
    pytest.param("<reply serial='1'><list/></reply>", id="field-missing"),
    pytest.param("<reply serial='1'><list truncated='no'><group gid='1'/></list></reply>", id="part-of-another"),
]


@pytest.mark.parametrize("document", SECRETS_ACCEPTED)
def test_secrets_accepted(document: str) -> None:
    assert accepts("secret.rng", document)


@pytest.mark.parametrize("document", SECRETS_REFUSED)
def test_secrets_refused(document: str) -> None:
    assert not accepts("secret.rng", document)


@pytest.mark.parametrize("document", EVENTS_ACCEPTED)
def test_events_accepted(document: str) -> None:
    assert accepts("event.rng", document)


@pytest.mark.parametrize("document", EVENTS_REFUSED)
def test_events_refused(document: str) -> None:
    assert not accepts("event.rng", document)


@pytest.mark.parametrize("document", REQUESTS_ACCEPTED)
def test_requests_accepted(document: str) -> None:
    assert accepts("request.rng", document)


@pytest.mark.parametrize("document", REQUESTS_REFUSED)
def test_requests_refused(document: str) -> None:
    assert not accepts("request.rng", document)


@pytest.mark.parametrize("document", REPLIES_ACCEPTED)
def test_replies_accepted(document: str) -> None:
    assert accepts("reply.rng", document)


@pytest.mark.parametrize("document", REPLIES_REFUSED)
def test_replies_refused(document: str) -> None:
    assert not accepts("reply.rng", document)
