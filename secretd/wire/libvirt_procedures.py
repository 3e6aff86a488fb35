"""The numbers of libvirt's RPC that a secret daemon meets.

Source: libvirt 12.8: src/remote/remote_protocol.x, src/rpc/virnetprotocol.x, src/rpc/virkeepaliveprotocol.x,
include/libvirt/libvirt-secret.h, src/libvirt_internal.h.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from secretd.model import UsageType

LIBVIRT_VERSION: Final = (12, 8, 0)
"""Whose protocol is followed."""

PROGRAM: Final = 0x20008086
KEEPALIVE_PROGRAM: Final = 0x6B656570
VERSION: Final = 1
"""Of both programs."""


class Kind(IntEnum):
    """What a message is: virNetMessageType."""

    CALL = 0
    REPLY = 1
    MESSAGE = 2
    STREAM = 3
    CALL_WITH_FDS = 4
    REPLY_WITH_FDS = 5


class Status(IntEnum):
    """How a message ends its call: virNetMessageStatus."""

    OK = 0
    ERROR = 1
    CONTINUE = 2


class Procedure(IntEnum):
    """What of the remote program a secret daemon answers, and the messages that it sends."""

    CONNECT_OPEN = 1
    CONNECT_CLOSE = 2
    CONNECT_GET_TYPE = 3
    CONNECT_GET_VERSION = 4
    CONNECT_GET_HOSTNAME = 59
    CONNECT_SUPPORTS_FEATURE = 60
    AUTH_LIST = 66
    AUTH_SASL_INIT = 67
    AUTH_SASL_START = 68
    AUTH_SASL_STEP = 69
    AUTH_POLKIT = 70
    CONNECT_GET_URI = 110
    CONNECT_NUM_OF_SECRETS = 139
    CONNECT_LIST_SECRETS = 140
    SECRET_LOOKUP_BY_UUID = 141
    SECRET_DEFINE_XML = 142
    SECRET_GET_XML_DESC = 143
    SECRET_SET_VALUE = 144
    SECRET_GET_VALUE = 145
    SECRET_UNDEFINE = 146
    SECRET_LOOKUP_BY_USAGE = 147
    CONNECT_IS_SECURE = 149
    CONNECT_GET_LIB_VERSION = 157
    CONNECT_LIST_ALL_SECRETS = 287
    CONNECT_REGISTER_CLOSE_CALLBACK = 360
    CONNECT_UNREGISTER_CLOSE_CALLBACK = 361
    CONNECT_EVENT_CONNECTION_CLOSED = 362
    CONNECT_SECRET_EVENT_REGISTER_ANY = 380
    CONNECT_SECRET_EVENT_DEREGISTER_ANY = 381
    SECRET_EVENT_LIFECYCLE = 382
    SECRET_EVENT_VALUE_CHANGED = 383
    CONNECT_SET_IDENTITY = 419


class KeepaliveProcedure(IntEnum):
    """The messages of the keepalive program."""

    PING = 1
    PONG = 2


class AuthType(IntEnum):
    """How a client may authenticate himself."""

    NONE = 0
    SASL = 1
    POLKIT = 2


class Feature(IntEnum):
    """What a client may ask the daemon for, and is told that it has: virDrvFeature."""

    FD_PASSING = 8
    TYPED_PARAM_STRING = 9
    PROGRAM_KEEPALIVE = 10
    REMOTE_EVENT_CALLBACK = 14
    REMOTE_CLOSE_CALLBACK = 15


class OpenFlag(IntFlag):
    """Of CONNECT_OPEN: virConnectFlags."""

    READ_ONLY = 1


class DefineFlag(IntFlag):
    """Of SECRET_DEFINE_XML: virSecretDefineFlags."""

    VALIDATE = 1


class ListFlag(IntFlag):
    """Of CONNECT_LIST_ALL_SECRETS: virConnectListAllSecretsFlags."""

    EPHEMERAL = 1
    NO_EPHEMERAL = 2
    PRIVATE = 4
    NO_PRIVATE = 8


class EventId(IntEnum):
    """What CONNECT_SECRET_EVENT_REGISTER_ANY asks for: virSecretEventID."""

    LIFECYCLE = 0
    VALUE_CHANGED = 1


class LifecycleEvent(IntEnum):
    """What befell a secret: virSecretEventLifecycleType."""

    DEFINED = 0
    UNDEFINED = 1


class CloseReason(IntEnum):
    """Why a connection is closed: virConnectCloseReason."""

    ERROR = 0
    EOF = 1
    KEEPALIVE = 2
    CLIENT = 3


class ParameterType(IntEnum):
    """What a typed parameter holds: virTypedParameterType."""

    INT = 1
    UINT = 2
    LLONG = 3
    ULLONG = 4
    DOUBLE = 5
    BOOLEAN = 6
    STRING = 7


USAGE_TYPES: dict[int, UsageType] = {
    0: UsageType.NONE,
    1: UsageType.VOLUME,
    2: UsageType.CEPH,
    3: UsageType.ISCSI,
    4: UsageType.TLS,
    5: UsageType.VTPM,
}
"""Every usage type by its number on the wire: virSecretUsageType."""

USAGE_NUMBERS: dict[UsageType, int] = {kind: number for number, kind in USAGE_TYPES.items()}
"""The number of every usage type."""
