"""Amounts of resources in foreign quotas, and the specification of a Queue made of them."""

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import lcm
from typing import TypeVar

import msgspec

from scheduler.migrate.records import Value
from scheduler.migrate.sheet import Sheet
from scheduler.model.resources import GPU, MIG_PREFIX, MILLI_GPU, mig_milli_gpu

NO_QUOTA = "queues have quota of GPUs, CPU and memory alone"
UNKNOWN_GPU = "no GPU that Bayplan plans is called so"
LONGEST_NAME = 63
"""Characters of a label's value."""

Key = TypeVar("Key")

GIB = 2**30

MORE: Mapping[str, tuple[str, Fraction]] = {
    "cpu": ("cpu", Fraction(1)),
    "vcore": ("cpu", Fraction(1)),
    "memory": ("memory", Fraction(1, GIB)),
}
"""What queues have quota of besides GPUs: the field of a Queue, and how much of its unit, a core or a GiB, one is."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one flavor, or in total: GPUs that are owned, and the most that may be borrowed and lent; None: no limit."""

    nominal: int | None = None
    borrowed: int | None = None
    lent: int | None = None

    def fields(self) -> dict[str, int]:
        """As fields of a Queue's specification; those that set no limit are left out."""
        named = {"nominal": self.nominal, "borrowingLimit": self.borrowed, "lendingLimit": self.lent}
        return {name: amount for name, amount in named.items() if amount is not None}


def beyond(most: int | None, nominal: int | None) -> int | None:
    """What may be borrowed where `most` is the most that may be used; None: no limit."""
    return None if most is None else max(most - (nominal or 0), 0)


def gpus_of(sheet: Sheet, path: str) -> int | None:
    """Whole GPUs of a list of resources, MIG slices by their size; None where it names none.

    What is neither is noted.
    """
    found: Fraction | None = None
    for name, value in sheet.mapping(path).items():
        here = f"{path}[{name}]"
        number = sheet.number_of(here, value)
        if number is None:
            continue
        if name == GPU:
            found = (found or Fraction(0)) + number
        elif name.startswith(MIG_PREFIX):
            each = mig_milli_gpu(name.removeprefix(MIG_PREFIX))
            found = (found or Fraction(0)) + number * Fraction(each, MILLI_GPU)
            sheet.note("differs", here, value, f"a slice counts as {each / MILLI_GPU:.3g} of a GPU, for all profiles")
        elif name not in MORE:
            sheet.note("no equivalent", here, value, UNKNOWN_GPU if "/" in name else NO_QUOTA)
    if found is None:
        return None
    whole = -(-found.numerator // found.denominator)
    if found.denominator != 1:
        sheet.note("differs", path, dict(sheet.mapping(path)), f"queues own whole GPUs: {whole}")
    return whole


def more_of(sheet: Sheet, owned: str, most: str, *, kept: str = "", lends: bool = True) -> dict[str, Value]:
    """Quota of CPU and memory, as fields of a Queue's specification: what the lists at these paths own and limit.

    `kept`: where stands what is never lent, and is owned at least.
    """
    nominal, limit, held = (_whole_amounts(sheet, path) if path else {} for path in (owned, most, kept))
    found: dict[str, Value] = {}
    for name in sorted({*nominal, *limit, *held}):
        owns, keeps = max(nominal.get(name, 0), held.get(name, 0)), held.get(name)
        lent = 0 if not lends else None if not keeps else owns - keeps
        found[name] = more_fields(Limits(nominal=owns, borrowed=beyond(limit.get(name), owns), lent=lent))
    return found


def more_fields(limits: Limits) -> Value:
    """Limits of CPU or memory as the Queue's field."""
    return {**limits.fields()}


def whole_amount(sheet: Sheet, path: str, value: Value, unit: Fraction) -> int | None:
    """An amount in whole cores or GiB, rounded up, which is noted; None where there is none."""
    number = sheet.number_of(path, value)
    if number is None:
        return None
    amount = number * unit
    whole = -(-amount.numerator // amount.denominator)
    if amount.denominator != 1:
        sheet.note("differs", path, value, f"queues own whole cores and GiB: {whole}")
    return whole


def _whole_amounts(sheet: Sheet, path: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in sheet.mapping(path).items():
        if name in MORE:
            field, unit = MORE[name]
            amount = whole_amount(sheet, f"{path}[{name}]", value, unit)
            if amount is not None:
                found[field] = amount
    return found


def queue_spec(limits: Limits, **others: Value) -> dict[str, Value]:
    """A Queue's specification; what says nothing is left out."""
    kept = {name: value for name, value in others.items() if value not in (None, "", [], {})}
    parent = {"parent": kept.pop("parent")} if "parent" in kept else {}
    namespaces = {"namespaces": kept.pop("namespaces")} if "namespaces" in kept else {}
    fields: dict[str, Value] = {**limits.fields()}
    return {**parent, **namespaces, **fields, **kept}


def whole_weights(weights: Mapping[Key, Fraction | None]) -> dict[Key, int | None]:
    """The same proportions in whole numbers; None where that is 1, which is also what is not given."""
    given = {key: Fraction(1) if weight is None else weight for key, weight in weights.items()}
    factor = lcm(*(weight.denominator for weight in given.values())) if given else 1
    whole = {key: int(weight * factor) for key, weight in given.items()}
    return {key: None if weight == 1 else weight for key, weight in whole.items()}


def valid_name(name: str) -> str:
    """A name as objects of Kubernetes may have it, and values of labels: the same where it is one already."""
    kept = re.sub(r"[^a-z0-9.-]", "-", name.lower())[:LONGEST_NAME]
    return re.sub(r"^[.-]+|[.-]+$|(?<=\.)[.-]+|-+(?=\.)", "", kept) or "queue"


def unused(name: str, taken: Iterable[str], suffix: str) -> str:
    """`name`, or the first `name-suffix`, `name-suffix-2` … that is not taken."""
    known = set(taken)
    tries = (f"{name}{f'-{suffix}' if at else ''}{f'-{at}' if at > 1 else ''}" for at in range(len(known) + 2))
    return next(one for one in tries if one not in known)
