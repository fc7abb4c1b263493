"""Readings of single texts that several dialects share; each gives None where the text cannot be read."""

import re
from itertools import pairwise

import msgspec

from scheduler.kube.dialects.record import Key, Place
from scheduler.kube.translate_values import LARGEST_GANG, LONGEST_DURATION_S, MOST_SLICES
from scheduler.model.workload import Slices

UNREADABLE = (msgspec.DecodeError, RecursionError)
"""What a text raises that is not the JSON it should be; the latter where it is nested without end."""

COUNT_ALLOWED = f"a whole number from 1 to {LARGEST_GANG}"
NAME_ALLOWED = "a name"
FLAG_ALLOWED = "true or false"
LEVEL_ALLOWED = "the name of a topology level, or a node label key"
SECONDS_ALLOWED = f"a whole number of seconds from 1 to {LONGEST_DURATION_S}"

_NUMBER = re.compile(r"[0-9]{1,9}\Z", re.ASCII)


def count(text: str) -> int | None:
    """A number of pods."""
    number = int(text) if _NUMBER.match(text) else 0
    return number if 1 <= number <= LARGEST_GANG else None


def layers(found: Slices) -> Slices | None:
    """Slices, outermost first, that lie in each other; None where they do not."""
    levels, sizes = [level for level, _ in found], [size for _, size in found]
    nested = all(outer > inner and outer % inner == 0 for outer, inner in pairwise(sizes))
    fine = bool(found) and nested and all(levels) and len(set(levels)) == len(found) <= MOST_SLICES
    return found if fine and min(sizes) > 1 and max(sizes) <= LARGEST_GANG else None


def seconds(text: str) -> int | None:
    """A time."""
    number = int(text) if _NUMBER.match(text) else 0
    return number if 1 <= number <= LONGEST_DURATION_S else None


def name(text: str) -> str | None:
    """A name, or a topology level."""
    return text.strip() or None


def flag(text: str) -> bool | None:
    """True or false."""
    return {"true": True, "false": False}.get(text.strip().lower())


def queue_key(place: Place, key: str, means: str = "the Queue of that name") -> Key:
    """A key that names a queue."""
    return Key(place=place, key=key, means=means, field="queue", read=name, allowed=NAME_ALLOWED)


def role_key(place: Place, key: str) -> Key:
    """A key that names a role."""
    return Key(place=place, key=key, means="the pod's role in its gang", field="role", read=name, allowed=NAME_ALLOWED)


def class_key(key: str, kind: str) -> Key:
    """A label that names a priority class of this kind."""
    return Key(
        place="label",
        key=key,
        means=f"the {kind} whose value is the priority",
        field="priority_class",
        read=lambda text: f"{kind} {text.strip()}" if text.strip() else None,
        allowed=NAME_ALLOWED,
    )
