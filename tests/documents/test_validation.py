"""No text of a document, and none of a parser about it, is in an error or stays behind one.

A canary stands for a value that a confused client put in the wrong place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from secretd.documents import libvirt_secret, messages, secret, validation
from secretd.documents.libvirt_secret import read_libvirt_secret
from secretd.documents.messages import RequestError, open_request, read_reply
from secretd.documents.scan import UnknownNames
from secretd.documents.secret import read_secret
from secretd.documents.validation import parse, parse_loosely
from secretd.errors import InvalidXmlError, SecretdError

CANARY = "hunter2correcthorse"
SECRET_ID = "7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9"

PLACES = [
    pytest.param("{c}", id="instead-of-xml"),
    pytest.param("<{c}/>", id="root"),
    pytest.param("<{root}><{c}/></{root}>", id="element"),
    pytest.param("<{root} {c}=''/>", id="attribute"),
    pytest.param("<{root}>{c}</{root}>", id="text"),
    pytest.param("<{root}><![CDATA[{c}]]></{root}>", id="cdata"),
    pytest.param("<{root}><![CDATA[{c}</{root}>", id="open-cdata"),
    pytest.param("<{root}><!-- {c} --></wrong>", id="comment"),
    pytest.param("<{root}><!-- {c}", id="open-comment"),
    pytest.param("<{root}><?{c} {c}?></{root}>", id="instruction"),
    pytest.param("<{root}>&{c};</{root}>", id="entity"),
    pytest.param("<{root}>&#x{c};</{root}>", id="character-reference"),
    pytest.param("<!DOCTYPE {c}><{root}/>", id="doctype"),
    pytest.param("<!DOCTYPE a [<!ENTITY e '{c}'>]><{root}>&e;</{root}>", id="entity-declaration"),
    pytest.param("<!DOCTYPE a SYSTEM '{c}'><{root}/>", id="system-id"),
    pytest.param("<?xml version='1.0' encoding='{c}'?><{root}/>", id="encoding"),
    pytest.param("<?xml version='{c}'?><{root}/>", id="version"),
    pytest.param("<{root} xmlns='{c}' {c}:x=''/>", id="namespace"),
    pytest.param("<{c}:{root}/>", id="prefix"),
    pytest.param("<{root}><{c}:uuid {c}:type='{c}'/></{root}>", id="prefix-within"),
    pytest.param("<?xml version='1.0' encoding='ISO-8859-1'?><{root}><a b={c}/></{root}>", id="latin-1"),
    pytest.param("<{root}></{c}>", id="end-tag"),
    pytest.param("<{root}/>{c}", id="behind"),
    pytest.param("<{root} type='{c}'", id="cut-off-in-an-attribute"),
    pytest.param("<{root} type={c}/>", id="unquoted"),
    pytest.param("<{root} type='{c}' type='{c}'/>", id="attribute-twice"),
    pytest.param("<{root}>{c}\x01</{root}>", id="control-character"),
    pytest.param("<{root} serial='{c}' ephemeral='{c}' private='{c}'/>", id="attribute-values"),
    pytest.param("<{root} serial='1'><status>{c}</status></{root}>", id="text-in-an-operation"),
    pytest.param("<{root} serial='1'><{c}/></{root}>", id="operation"),
    pytest.param("<{root} serial='1'><list limit='{c}' usage-type='{c}'/></{root}>", id="fields"),
    pytest.param("<{root} serial='1'><get-value secret='{c}'/></{root}>", id="instead-of-an-id"),
    pytest.param("<{root} serial='1'><error code='{c}'>{c}</error></{root}>", id="code"),
    pytest.param("<{root}><uuid>{c}</uuid></{root}>", id="uuid"),
    pytest.param("<{root}><usage type='{c}'><name>{c}</name></usage></{root}>", id="usage-type"),
    pytest.param("<{root}><usage type='volume'><name>{c}</name></usage></{root}>", id="wrong-child"),
    pytest.param("<{root}><volume>{c}</volume><usage type='{c}'/></{root}>", id="both-forms"),
]

STRICT = [
    pytest.param("secret", read_secret, id="secret"),
    pytest.param("request", open_request, id="request"),
    pytest.param("reply", read_reply, id="reply"),
]


def said(error: BaseException | None) -> Iterator[str]:
    """Give everything that an exception, and those that hang on it, could tell a log or a peer."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", None)))
        yield repr([getattr(error, name) for name in vars(error)])
        if error.__cause__ is not None:
            yield from said(error.__cause__)
        if isinstance(error, RequestError):
            yield from said(error.error)
        error = error.__context__


def kept() -> Iterator[str]:
    """Give everything that libxml2's own log still says."""
    for grammar in (messages._REQUEST, messages._REPLY, secret._GRAMMAR, libvirt_secret._GRAMMAR):
        yield repr([entry.message for entry in grammar._schema.error_log])
    for parser in (validation._PARSER, validation._LOOSE_PARSER):
        yield repr([entry.message for entry in parser.error_log])


@pytest.mark.parametrize("template", PLACES)
@pytest.mark.parametrize(("root", "read"), STRICT)
def test_a_canary_is_never_told(root: str, read: Callable[[bytes], object], template: str) -> None:
    body = template.format(c=CANARY, root=root).encode()
    with pytest.raises((SecretdError, RequestError)) as caught:
        read(body)
    told = "\n".join([*said(caught.value), *kept()])
    assert CANARY not in told
    assert "line" in told


@pytest.mark.parametrize("template", PLACES)
@pytest.mark.parametrize("validate", [False, True])
def test_a_canary_is_never_told_in_libvirts_reading(template: str, validate: bool) -> None:
    body = template.format(c=CANARY, root="secret").encode()
    error: SecretdError | None = None
    try:
        read_libvirt_secret(body, UnknownNames(), validate=validate)
    except SecretdError as refusal:
        error = refusal
    assert CANARY not in "\n".join([*said(error), *kept()])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(CANARY, id="not-base64"),
        pytest.param(f"{CANARY} ", id="white-space"),
        pytest.param(CANARY * 10_000, id="too-long"),
        pytest.param(f"é{CANARY}", id="not-ascii"),
    ],
)
def test_a_value_is_never_told(value: str) -> None:
    body = f"<request serial='1'><set-value secret='{SECRET_ID}'><value>{value}</value></set-value></request>"
    document = open_request(body.encode())
    with pytest.raises(SecretdError) as caught:
        document.read()
    assert CANARY not in "\n".join(said(caught.value))
    assert CANARY not in repr(document)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        pytest.param(parse, b"<a:secret/>", id="strictly"),
        pytest.param(parse_loosely, b"<?xml version='2.0'?><secret/>", id="loosely"),
    ],
)
def test_nothing_of_libxml2_hangs_on_an_error(read: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(InvalidXmlError, match=r"^line 1: not well-formed XML$") as caught:
        read(body)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
