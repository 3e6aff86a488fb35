"""What may stand in each element: attributes, children, text. The table of operations says it, here it is spelt out.

Two readers need it: schema.py makes the schemas from it, and diagnosis.py finds out what is wrong with a
document that a schema refused.  The patterns of the secret, of its usage, of the key and of the grant are written by
hand (schemas/secret.rng, key.rng, grant.rng); their shapes here serve the diagnosis alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from secretd import limits
from secretd.documents.scalars import (
    KEY_ID,
    LIBVIRT_UUID,
    MOMENT,
    UUID_TEXT,
    YES_NO,
    Scalar,
    enumeration,
    number,
    one_of,
    scalar_of,
)
from secretd.errors import WIRE_ERRORS
from secretd.fields import Field, fields_of
from secretd.grants import (
    LARGEST_ID,
    Grant,
    PermissionSet,
    is_grant_name,
    is_key_pattern,
    is_service,
    is_sha256,
)
from secretd.keys import Blob, KeyDocument, KeyUsage
from secretd.model import Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.operations import EVENTS, OPERATIONS


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that an element may have."""

    scalar: Scalar
    required: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """An element that may stand in another: must it, and may it more than once."""

    shape: Shape
    required: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """What an element holds.

    Attributes:
        attributes, children: by name.
        text: what its text must be; None if it may hold no text but white space.
        definition: the name in secret.rng, key.rng or grant.rng of the pattern that says the same.
    """

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    children: Mapping[str, Child] = field(default_factory=dict)
    text: Scalar | None = None
    definition: str | None = None


USAGE_CHILDREN: Mapping[UsageType, str] = MappingProxyType(
    {
        UsageType.VOLUME: "volume",
        UsageType.CEPH: "name",
        UsageType.ISCSI: "target",
        UsageType.TLS: "name",
        UsageType.VTPM: "name",
    }
)
"""The element that holds the id of a usage of each type. Source: libvirt's secret.rng."""

SERIAL = number(0, limits.SERIAL)
ORDINAL = number(1, 2**63 - 1)
USAGE_TYPE = enumeration(UsageType)
ERROR_CODE = one_of(WIRE_ERRORS, lambda error: str(error.code))

_TEXT_SCALAR = Scalar("text", "<text/>", str, str)
_TEXT = Shape(text=_TEXT_SCALAR)
_USAGE_ID = Shape(text=Scalar("an id", '<ref name="usage-id"/>', lambda text: text or None, str))
_USAGE = Shape(
    {"type": Attribute(USAGE_TYPE, required=True)},
    {tag: Child(_USAGE_ID) for tag in USAGE_CHILDREN.values()},
    definition="usage",
)
SECRET = Shape(
    {"ephemeral": Attribute(YES_NO), "private": Attribute(YES_NO)},
    {
        "uuid": Child(Shape(text=LIBVIRT_UUID)),
        "description": Child(_TEXT),
        "usage": Child(_USAGE),
        "volume": Child(_USAGE_ID),
    },
    definition="secret",
)


def _judged(phrase: str, name: str, judge: Callable[[str], bool]) -> Scalar:
    """Make the scalar of the texts that pass; ``name`` is that of the pattern that says the same."""
    return Scalar(phrase, f'<ref name="{name}"/>', lambda text: text if judge(text) else None, str)


KEY_USAGE = enumeration(KeyUsage)
TAG_NAME = _judged("the name of a tag", "key.tag-name", bool)
ROTATION_DAYS = number(1, limits.ROTATION_DAYS)
KEY = Shape(
    {"exportable": Attribute(YES_NO)},
    {
        "id": Child(Shape(text=KEY_ID)),
        "usage": Child(Shape(text=KEY_USAGE)),
        "description": Child(_TEXT),
        "tag": Child(Shape({"name": Attribute(TAG_NAME, required=True)}, text=_TEXT.text), many=True),
        "rotation": Child(Shape({"days": Attribute(ROTATION_DAYS, required=True)})),
    },
    definition="key",
)

GRANT_NAME = _judged("a name of letters, digits, '.', '_' and '-'", "grant.name", is_grant_name)
GRANT_ID = number(0, LARGEST_ID)
GRANT_UNIT = _judged("the name of a service", "grant.unit", is_service)
GRANT_PATH = _judged("a path", "grant.path", bool)
GRANT_SHA256 = _judged("64 lower-case hex digits", "grant.sha256", is_sha256)
GRANT_PATTERN = _judged("a pattern", "grant.pattern", bool)
GRANT_KEY_PATTERN = _judged("a pattern for keys", "grant.key-pattern", is_key_pattern)
PERMISSION = enumeration(Permission)
PERMISSION_SET = enumeration(PermissionSet)


def _empty_with(name: str, scalar: Scalar) -> Shape:
    return Shape({name: Attribute(scalar, required=True)})


_PRINCIPAL = Shape(
    children={
        "user": Child(_empty_with("uid", GRANT_ID)),
        "group": Child(_empty_with("gid", GRANT_ID)),
        "unit": Child(_empty_with("name", GRANT_UNIT)),
        "anyone": Child(Shape()),
        "executable": Child(Shape({"path": Attribute(GRANT_PATH, required=True), "sha256": Attribute(GRANT_SHA256)})),
    }
)
_ALLOW = Shape({"set": Attribute(PERMISSION_SET)}, {"permission": Child(_empty_with("name", PERMISSION), many=True)})
_SCOPE = Shape(
    children={
        "all": Child(Shape(), many=True),
        "secret": Child(_empty_with("uuid", UUID_TEXT), many=True),
        "usage": Child(
            Shape({"type": Attribute(USAGE_TYPE, required=True), "pattern": Attribute(GRANT_PATTERN)}), many=True
        ),
        "keys": Child(Shape(), many=True),
        "key": Child(
            Shape(
                {
                    "id": Attribute(KEY_ID),
                    "pattern": Attribute(GRANT_KEY_PATTERN),
                    "tag": Attribute(TAG_NAME),
                    "value": Attribute(_TEXT_SCALAR),
                }
            ),
            many=True,
        ),
    }
)
GRANT = Shape(
    children={
        "name": Child(Shape(text=GRANT_NAME), required=True),
        "description": Child(_TEXT),
        "principal": Child(_PRINCIPAL, required=True),
        "allow": Child(_ALLOW, required=True),
        "scope": Child(_SCOPE, required=True),
        "expires": Child(Shape(text=MOMENT)),
    },
    definition="grant",
)
_VALUE = Shape({"descriptor": Attribute(YES_NO)}, text=_TEXT.text)

_MODEL: Mapping[type, tuple[str, Shape]] = MappingProxyType(
    {
        SecretDocument: ("secret", SECRET),
        Usage: ("usage", _USAGE),
        KeyDocument: ("key", KEY),
        Grant: ("grant", GRANT),
    }
)
"""The nouns that are written in one way wherever they stand: as which element, and its shape."""


def tag_of(item: Field) -> str:
    """Give the name of the element that a field is written as."""
    return _MODEL[item.type][0] if item.type in _MODEL else item.xml_name


def may_be_carried(item: Field) -> bool:
    """Say whether a field may travel by descriptor: the value, as a message carries one; a password is always text."""
    return item.type is SecretValue and item.name == "value"


def shape_of(record: type) -> Shape:
    """Give the shape of a request, a reply or a part of one."""
    attributes: dict[str, Attribute] = {}
    children: dict[str, Child] = {}
    for item in fields_of(record):
        scalar = scalar_of(item)
        if scalar:
            attributes[item.xml_name] = Attribute(scalar, item.required)
        else:
            children[tag_of(item)] = Child(_element_shape(item), item.required, item.many)
    return Shape(attributes, children)


def _element_shape(item: Field) -> Shape:
    if may_be_carried(item):
        return _VALUE
    if item.type in (str, SecretValue, Blob):
        return _TEXT
    return _MODEL[item.type][1] if item.type in _MODEL else shape_of(item.type)


ERROR = Shape({"code": Attribute(ERROR_CODE, required=True)}, text=_TEXT.text)
REQUEST = Shape(
    {"serial": Attribute(SERIAL, required=True), "descriptor": Attribute(YES_NO)},
    {operation.name: Child(shape_of(operation.request)) for operation in OPERATIONS},
)
REPLY = Shape(
    {"serial": Attribute(SERIAL), "message": Attribute(ORDINAL)},
    {operation.name: Child(shape_of(operation.reply)) for operation in OPERATIONS} | {"error": Child(ERROR)},
)
EVENT = Shape(children={name: Child(shape_of(event)) for name, event in EVENTS.items()})
