"""Range coder and adaptive bit models in plain Python, from ``lilnetx/format/SPEC.md``.

Encoder and decoder walk through the same decisions: both have ``code(p, bit)``, which the decoder
answers from the stream, whatever ``bit`` is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

_MASK = (1 << 64) - 1
# By how much a probability moves after so many bits, times 65536.
RATES = [(1 << 17) // (2 * m + 3) for m in range(130)]


class StreamError(Exception):
    """The bytes are no stream that the encoder writes."""


class Coder(Protocol):
    """Codes one bit, which is 0 with probability p / 65536, and returns it."""

    def code(self, p: int, bit: int) -> int:
        """The bit coded."""


class Encoder:
    """Writes bits. Keeps the whole number as a Python integer, so that carries need no thought."""

    def __init__(self) -> None:
        self._written = 0  # The words that have left the 64-bit window, as one number.
        self._words = 0
        self._low = 0
        self._range = _MASK

    def code(self, p: int, bit: int) -> int:
        """See :class:`Coder`."""
        bound = (self._range >> 16) * p
        if bit:
            self._add(bound)
            self._range -= bound
        else:
            self._range = bound
        if self._range < 1 << 32:
            self._written = self._written << 32 | self._low >> 32
            self._words += 1
            self._low = self._low << 32 & _MASK
            self._range <<= 32
        return bit

    def finish(self) -> bytes:
        """All bytes of the stream."""
        value, zeros = _tail(self._low, self._range)
        self._add(value - self._low)
        number = self._written << 64 | self._low
        return number.to_bytes(4 * self._words + 8, "big")[: 4 * self._words + 8 - zeros]

    def _add(self, amount: int) -> None:
        self._low += amount
        self._written += self._low >> 64
        self._low &= _MASK


class Decoder:
    """Reads bits. Keeps the number and the low end of its interval whole, as Python integers."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._value = 0
        self._low = 0
        self._range = _MASK
        for _ in range(2):
            self._shift()

    def code(self, p: int, bit: int) -> int:
        """See :class:`Coder`."""
        bound = (self._range >> 16) * p
        bit = int(self._value - self._low >= bound)
        if bit:
            self._low += bound
            self._range -= bound
        else:
            self._range = bound
        if self._range < 1 << 32:
            self._shift()
            self._low <<= 32
            self._range <<= 32
        return bit

    def finish(self) -> None:
        """StreamError unless the stream ends here."""
        value, zeros = _tail(self._low, self._range)
        if value != self._value or len(self._data) != self._at - zeros:
            raise StreamError("the stream does not end where its integers end")

    def _shift(self) -> None:
        if self._at + 4 > len(self._data) + 8:
            raise StreamError("the stream ends before its integers do")
        word = self._data[self._at : self._at + 4].ljust(4, b"\0")
        self._value = self._value << 32 | int.from_bytes(word, "big")
        self._at += 4


def _tail(low: int, width: int) -> tuple[int, int]:
    """The smallest of the numbers in [low, low + width) with the most zero low bytes (to 8)."""
    for zeros in range(8, 0, -1):
        unit = 1 << 8 * zeros
        value = -(-low // unit) * unit
        if value < low + width:
            return value, zeros
    return low, 0


@dataclass
class Model:
    """An adaptive probability that a bit is 0, and how many bits it has seen."""

    z: int = 1 << 21
    count: int = 0

    def code(self, coder: Coder, bit: int) -> int:
        """Codes a bit and learns it."""
        bit = coder.code(min(max(self.z >> 6, 16), 65520), bit)
        self.learn(bit)
        return bit

    def learn(self, bit: int) -> None:
        """Moves the probability towards the bit."""
        rate = RATES[self.count]
        if bit:
            self.z -= self.z * rate >> 16
        else:
            self.z += ((1 << 22) - 1 - self.z) * rate >> 16
        self.count = min(self.count + 1, 127)


class Family:
    """Models that start from what their parent has learnt."""

    def __init__(self, children: int, parent: Model | None = None) -> None:
        self.parent = parent or Model()
        self.children = [Model() for _ in range(children)]

    def code(self, coder: Coder, child: int, bit: int) -> int:
        """Codes a bit by one of the children; it and the parent learn."""
        model = self.children[child]
        if model.count == 0:
            model.z, model.count = self.parent.z, min(self.parent.count, 4)
        bit = model.code(coder, bit)
        self.parent.learn(bit)
        return bit

    def forget(self) -> None:
        """Makes all of them quicker to learn again."""
        for model in (self.parent, *self.children):
            model.count = min(model.count, 40)


def odds_times_16(odds: int) -> int:
    """The odds that sixteenths of a power of two say, times 16."""
    size = abs(odds)
    return (16 + size % 16) << (size >> 4)


def probability(odds: int) -> int:
    """The inverse of :func:`log_odds`, nearly."""
    odds = min(max(odds, -150), 150)
    unlikely = (1 << 20) // (odds_times_16(odds) + 16)
    return unlikely if odds < 0 else 65535 - unlikely


def approach(value: int, target: int, m: int) -> int:
    """Moves a value towards a target by the step of m observations."""
    return value + ((target - value) * RATES[m] >> 16)


def log_odds(x: int) -> int:
    """The logarithm of the odds of x / 65536, in sixteenths of powers of two."""
    y = 16 * (x >> 4) + 8
    return _log2(y) - _log2(65536 - y)


def _log2(y: int) -> int:
    b = y.bit_length() - 1
    return 16 * b + (16 * y >> b) % 16
