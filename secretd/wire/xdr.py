"""XDR, as far as libvirt's RPC uses it: numbers, opaque bytes, strings, optionals, arrays.

It reads what libvirt's own daemon reads, and as liberally: an optional is there if its word is not 0, padding may
hold anything but must be there, and a string ends at its first NUL, as the C of both ends has it.  Whether a string
is UTF-8 is the reader's question: here it is bytes.

Every length and every count is held against its bound and against the bytes that are left, before anything is
allocated; so no decoder takes more memory than its input.

Source: RFC 4506; the liberties are what libvirt's daemon 12.8 was seen to take.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812  # an error's name

_INT32 = Struct(">i")
_UINT32 = Struct(">I")
_INT64 = Struct(">q")
_UINT64 = Struct(">Q")
_DOUBLE = Struct(">d")

_PADDINGS = (b"", b"\0", b"\0\0", b"\0\0\0")


class XdrError(Exception):
    """Bytes that do not decode; met at the border of a body only, and never told in its own words."""


class Decoder:
    """Reads one thing after the other.

    Every method raises XdrError where the bytes end before what it reads does.
    """

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes, place: int = 0) -> None:
        """Begin to read.

        Args:
            data: the bytes; what is behind the last thing read is nobody's.
            place: where in them to begin; perhaps behind their end.
        """
        self._data = data
        self._place = place

    def int32(self) -> int:
        """Read a number of 32 bits, perhaps negative."""
        return self._integer(_INT32)

    def uint32(self) -> int:
        """Read a number of 32 bits that is not negative."""
        return self._integer(_UINT32)

    def int64(self) -> int:
        """Read a number of 64 bits, perhaps negative."""
        return self._integer(_INT64)

    def uint64(self) -> int:
        """Read a number of 64 bits that is not negative."""
        return self._integer(_UINT64)

    def double(self) -> float:
        """Read a number of IEEE 754, double precision."""
        number: float
        (number,) = _DOUBLE.unpack(self.fixed(_DOUBLE.size))
        return number

    def fixed(self, length: int) -> bytes:
        """Read as many bytes as both ends know of, a multiple of four."""
        start = self._place
        self._place = start + length
        if self._place > len(self._data):
            raise XdrError("the bytes end too early")
        return self._data[start : self._place]

    def opaque(self, most: int) -> bytes:
        """Read bytes behind their length.

        Args:
            most: how many there may be.
        """
        length = self.uint32()
        if length > most:
            raise XdrError("the length is over its bound")
        return self.fixed(length + (-length & 3))[:length]

    def string(self, most: int) -> bytes:
        """Read a string, which ends at its first NUL.

        Args:
            most: how many bytes there may be, those behind the NUL included.
        """
        return self.opaque(most).partition(b"\0")[0]

    def optional(self) -> bool:
        """Read whether something follows."""
        return self.uint32() != 0

    def count(self, most: int, least_bytes: int) -> int:
        """Read how many things follow.

        Args:
            most: how many there may be.
            least_bytes: how many bytes each of them takes at least.
        """
        number = self.uint32()
        if number > most or number * least_bytes > len(self._data) - self._place:
            raise XdrError("the count is over its bound, or over what the bytes have room for")
        return number

    def _integer(self, form: Struct) -> int:
        number: int
        try:
            (number,) = form.unpack_from(self._data, self._place)
        except StructError:
            raise XdrError("the bytes end too early") from None
        self._place += form.size
        return number


def int32(number: int) -> bytes:
    """Write a number of 32 bits, perhaps negative."""
    return _INT32.pack(number)


def uint32(number: int) -> bytes:
    """Write a number of 32 bits that is not negative."""
    return _UINT32.pack(number)


def int64(number: int) -> bytes:
    """Write a number of 64 bits, perhaps negative."""
    return _INT64.pack(number)


def uint64(number: int) -> bytes:
    """Write a number of 64 bits that is not negative."""
    return _UINT64.pack(number)


def opaque(data: bytes) -> bytes:
    """Write bytes behind their length."""
    length = len(data)
    return _UINT32.pack(length) + data + _PADDINGS[-length & 3]


def string(text: str | bytes) -> bytes:
    """Write a string; what was read as a surrogate escape becomes the byte that it was."""
    return opaque(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))


def optional_string(text: str | bytes | None) -> bytes:
    """Write a string that may be absent."""
    return _UINT32.pack(0) if text is None else _UINT32.pack(1) + string(text)
