"""Reading and writing of the small integers and strings inside sections."""

from __future__ import annotations

from lilnetx.errors import CorruptSectionError, GraphError, LimitExceededError, LnxFormatError
from lilnetx.format.layout import defect


class Cursor:
    """Reads one section from front to back; every step is bounds-checked.

    Args:
        data: The section's bytes.
        path: Name of the file, for messages.
        section: Name of the section, for messages.
        base: Offset of the section in the file, for messages.
    """

    def __init__(self, data: bytes | memoryview, path: str, section: str, base: int) -> None:
        self._data = memoryview(data)
        self._path = path
        self._section = section
        self._base = base
        self._at = 0

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def corrupt(self, expected: object, found: object) -> LnxFormatError:
        """An error at the present place: the content contradicts itself."""
        return defect(
            CorruptSectionError,
            self._path,
            self._section,
            self._base + self._at,
            expected=expected,
            found=found,
        )

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes."""
        if count > self.remaining:
            raise self.corrupt(f"{count} more bytes", f"{self.remaining}")
        self._at += count
        return self._data[self._at - count : self._at]

    def u8(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def varint(self, what: str, cap: int, *, least: int = 0) -> int:
        """An unsigned LEB128 integer in its shortest form, at most ``cap``, a cap of the format."""
        value = self._leb128(what)
        if value > cap:
            raise defect(
                LimitExceededError,
                self._path,
                self._section,
                self._base + self._at,
                expected=f"{what} of at most {cap}",
                found=value,
                remedy="nothing was allocated; the file is damaged or made for other limits",
            )
        if value < least:
            raise self.corrupt(f"{what} of at least {least}", value)
        return value

    def within(self, what: str, least: int, most: int) -> int:
        """An unsigned LEB128 integer whose bounds follow from the content before it."""
        value = self._leb128(what)
        if not least <= value <= most:
            raise self.corrupt(f"{what} within {least}..{most}", value)
        return value

    def _leb128(self, what: str) -> int:
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 56:
                raise self.corrupt(f"{what} of at most 9 bytes", "a longer integer")
        if byte == 0 and shift > 7:
            raise self.corrupt(f"{what} in its shortest form", "a padded integer")
        return value

    def zigzag(self, what: str, cap: int) -> int:
        """A signed integer of magnitude at most ``cap``, coded as 0, -1, 1, -2, 2, ..."""
        value = self.varint(what, 2 * cap)
        return -(value >> 1) - 1 if value & 1 else value >> 1

    def text(self, what: str, cap: int, base: bytes = b"") -> tuple[str, bytes]:
        """A string that shares a prefix with ``base``: (text, its UTF-8 bytes)."""
        shared = self.within(f"shared prefix of {what}", 0, len(base)) if base else 0
        rest = self.take(self.varint(f"length of {what}", cap - shared))
        raw = base[:shared] + bytes(rest)
        if not raw:
            raise self.corrupt(f"a {what}", "an empty string")
        try:
            return raw.decode("utf-8"), raw
        except UnicodeDecodeError as error:
            raise self.corrupt(f"{what} in UTF-8", raw) from error

    def finish(self) -> None:
        """Checks that the section has been read to its end."""
        if self.remaining:
            raise self.corrupt("the end of the section", f"{self.remaining} more bytes")


class Sink:
    """Builds one section; the counterpart of :class:`Cursor`."""

    def __init__(self) -> None:
        self._data = bytearray()

    def raw(self, data: bytes) -> None:
        """Appends bytes."""
        self._data += data

    def u8(self, value: int) -> None:
        """Appends one byte."""
        self._data.append(value)

    def varint(self, value: int) -> None:
        """Appends an unsigned LEB128 integer."""
        if value < 0:
            raise GraphError(f"the network cannot be stored: it has the negative number {value}")
        while value >= 0x80:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)

    def zigzag(self, value: int) -> None:
        """Appends a signed integer."""
        self.varint(2 * value if value >= 0 else -2 * value - 1)

    def text(self, text: bytes, base: bytes = b"") -> None:
        """Appends a string, leaving out the prefix that it shares with ``base``."""
        shared = 0
        if base:
            limit = min(len(text), len(base))
            while shared < limit and text[shared] == base[shared]:
                shared += 1
            self.varint(shared)
        self.varint(len(text) - shared)
        self._data += text[shared:]

    def getvalue(self) -> bytes:
        """Everything appended so far."""
        return bytes(self._data)
