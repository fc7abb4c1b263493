"""Kubernetes quantities (`500m`, `1.5Gi`, `2e3`) as whole numbers, rounded up as the API machinery does.

The grammar and the rounding are those of apimachinery v0.36.3, pkg/api/resource/quantity.go: at most nine decimals are
kept, anything finer is rounded away from zero, and magnitudes end at 2^63 - 1.
"""

import re
from functools import lru_cache

NANO = 10**9
LARGEST = 2**63 - 1

_GRAMMAR = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?"
    r"(?:(?P<binary>[KMGTPE]i)|(?P<decimal>[numkMGTPE]?)|[eE](?P<exponent>[+-]?[0-9]{1,9}))\Z"
)
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}

_SPAN = 64
"""Exponents beyond ±64 give the largest number or the smallest step whatever the digits are (30 of them at most)."""


@lru_cache(maxsize=8192)
def nanos(text: str) -> int:
    """A quantity in units of 10^-9.

    Raises:
        ValueError: `text` is no quantity.
    """
    read = _GRAMMAR.match(text)
    digits = (read["whole"] + (read["part"] or "")) if read is not None else ""
    if read is None or not digits or len(digits) > 256:
        raise ValueError(
            f"{text!r} is no quantity; allowed: a number with one of the suffixes m, k, M, G, Ki, Mi, Gi …"
        )
    decimals = len(read["part"] or "")
    if read["binary"]:
        amount = _shifted(int(digits) << _BINARY[read["binary"]], 9 - decimals)
    elif read["exponent"]:
        exponent = max(-_SPAN - len(digits), min(_SPAN + decimals, int(read["exponent"])))
        amount = _shifted(int(digits), 9 - decimals + exponent)
    else:
        amount = _shifted(int(digits), 9 - decimals + _DECIMAL[read["decimal"]])
    amount = min(amount, LARGEST * NANO)
    return -amount if read["sign"] == "-" else amount


def _shifted(number: int, exponent: int) -> int:
    """`number` x 10^exponent, rounded up."""
    return number * 10**exponent if exponent >= 0 else -(-number // 10**-exponent)


def whole(amount_nanos: int) -> int:
    """Units, rounded up."""
    return min(-(-amount_nanos // NANO), LARGEST)


def milli(amount_nanos: int) -> int:
    """Thousandths, rounded up."""
    return min(-(-amount_nanos // (NANO // 1000)), LARGEST)
