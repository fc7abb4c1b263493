"""What queues used of late: an average that forgets, by a half-life, so that who used much yesterday yields today.

The average moves towards what is used now; half of the difference is gone after a half-life. It is kept in the status
of each Queue with the time of which it is true, so that a restart goes on from there. Whole numbers only: a power of
one half is a product of roots of one half, in parts of 2**32.
"""

from collections.abc import Mapping
from math import isqrt

from scheduler.model.names import QueueName
from scheduler.quota.tree import Ledger

_BITS = 32
ONE = 1 << _BITS

_STEPS = 20
"""Halvings of the half-life that are told apart."""


def _roots() -> list[int]:
    """One half, its root, the root of that, and so on, in parts of `ONE`."""
    found = [ONE >> 1]
    for _ in range(_STEPS):
        found.append(isqrt(found[-1] << _BITS))
    return found


_ROOTS = _roots()


def kept(passed_s: int, half_life_s: int) -> int:
    """The part of a difference, of `ONE`, that is left after `passed_s`; both in seconds."""
    halvings = (max(passed_s, 0) << _STEPS) // half_life_s
    whole, rest = halvings >> _STEPS, halvings & ((1 << _STEPS) - 1)
    if whole >= _BITS:
        return 0
    left = ONE
    for k in range(1, _STEPS + 1):
        if rest >> (_STEPS - k) & 1:
            left = left * _ROOTS[k] >> _BITS
    return left >> whole


def average(before: int, used: int, passed_s: int, half_life_s: int) -> int:
    """The average of late after `passed_s` in which `used` was used; it was `before` before."""
    left = kept(passed_s, half_life_s)
    return (before * left + used * (ONE - left) + ONE // 2) >> _BITS


def used_of_late(ledger: Ledger, *, now_s: int, half_life_s: int) -> Mapping[QueueName, int]:
    """Milli-GPU that each queue used of late, as an average; of a queue without a history, what it uses now."""
    found: dict[QueueName, int] = {}
    for name, queue in ledger.forest.queues.items():
        used = ledger.used_by(name).total_milli_gpu
        if queue.recent_at_s is None:
            found[name] = used
        else:
            found[name] = average(queue.recent_milli_gpu, used, now_s - queue.recent_at_s, half_life_s)
    return found
