"""The native door: one XML document a message, one typed operation a document.

A message is judged in the order of what it costs: the caller holds some permission; the document parses; the
caller holds the operation's permission; and only then is a value that came with it looked at.

Source: docs/protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from secretd import limits
from secretd.core.service import Service
from secretd.documents.messages import RequestDocument, RequestError, open_request, write_error, write_reply
from secretd.doors.border import error_for_peer
from secretd.doors.stepping import Done, Waiting, step
from secretd.errors import InvalidValueError, SecretdError
from secretd.model import Caller, SecretValue
from secretd.operations import GotValue, Reply, Request
from secretd.wire import memfd
from secretd.wire.native import Message


@dataclass(frozen=True, slots=True)
class Answer:
    """One message to a peer, not framed yet, and the descriptor that goes with it; the taker closes it."""

    body: bytes
    descriptor: int | None = None


class NativeDoor:
    """The native door of one daemon, for all connections."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def answer(self, caller: Caller, message: Message) -> Done[Answer] | Waiting[Answer]:
        """Answer one message: at once where nothing has to be waited for.

        The message's descriptors are read before this returns, and stay the caller's to close.
        """
        try:
            document = self._open(caller, message)
        except RequestError as error:
            return Done(_error(error.error, message, error.serial))
        return step(self._answer(caller, message, document))

    def refuse(self, error: SecretdError, ordinal: int) -> Answer:
        """Answer what could not even be framed."""
        return Answer(write_error(error, message=ordinal))

    def _open(self, caller: Caller, message: Message) -> RequestDocument:
        """Parse a message of a caller who holds any permission at all.

        Raises:
            RequestError: he holds none, or it is no request.
        """
        try:
            self._service.admit(caller)
            return open_request(message.body)
        except RequestError:
            raise
        except Exception as error:  # the request border  # noqa: BLE001
            raise RequestError(error_for_peer(error)) from None

    async def _answer(self, caller: Caller, message: Message, document: RequestDocument) -> Answer:
        try:
            self._service.admit(caller, document.operation.permission)
            request = _read(document, message)
            return _reply(document, await self._service.call(caller, request))
        except Exception as error:  # the request border  # noqa: BLE001
            return _error(error_for_peer(error), message, document.serial)


def _read(document: RequestDocument, message: Message) -> Request[Reply]:
    if len(message.descriptors) > limits.DESCRIPTORS_PER_MESSAGE:
        raise InvalidValueError("a message carries at most one descriptor")
    carried: SecretValue | None = None
    for descriptor in message.descriptors:
        carried = memfd.read_value(descriptor)
    return document.read(carried)


def _reply(document: RequestDocument, reply: Reply) -> Answer:
    if document.descriptor and isinstance(reply, GotValue):
        body = write_reply(document.serial, document.operation, reply, value_by_descriptor=True)
        return Answer(body, memfd.seal_value(reply.value))
    return Answer(write_reply(document.serial, document.operation, reply))


def _error(error: SecretdError, message: Message, serial: int | None) -> Answer:
    if serial is None:
        return Answer(write_error(error, message=message.ordinal))
    return Answer(write_error(error, serial=serial))
