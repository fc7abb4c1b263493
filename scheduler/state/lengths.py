"""How long work of unknown length is expected to run: as long as earlier runs of its like, by its owner, took.

Runs that ended well count, the latest of them. Alike is what has the same name but for what makes names unique, in the
same namespace and queue, of the same user and of about the same size; where there are too few of these, what the same
user ran of that size. Two of three users' jobs take about as long as their last ones (Tsafrir, Etsion and Feitelson
2007, "Backfilling using system-generated predictions rather than user runtime estimates").
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from scheduler.model.resources import MILLI_GPU
from scheduler.model.workload import Learned, Pod

LAST = 16
"""Runs of one kind that count, the latest."""

LEAST = 3
"""With fewer nothing is said."""

KINDS = 2048
"""Kinds of work that are remembered: those of which a run ended last."""

HIGH_TENTHS = 9
"""Of ten runs so many take at most what is said to hold in most cases."""

_UNIQUE = re.compile(r"(?:[-.](?:\d+|[bcdfghjklmnpqrstvwxz2456789]{5}|(?=[a-f]*\d)[0-9a-f]{8,}))+$")
"""What controllers and people end names with to make them unique: numbers and times, the five letters of Kubernetes
(apimachinery, util/rand), and hashes."""


class WorkKind(msgspec.Struct, frozen=True, kw_only=True, gc=False, order=True):
    """Work that is taken to be alike. `name` is empty where any of the user's work counts.

    `size`: bits of the number of GPUs of the whole, as stated, rounded up.
    """

    namespace: str
    name: str
    user: str
    queue: str
    size: int


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod that did its work: of which kinds it was, when it ended, in seconds since 1970, and how long it had run.

    `of`: what it was part of; all pods of one gang are one run, as long as the longest of them.
    """

    kinds: tuple[WorkKind, ...]
    of: str
    ended_s: int
    ran_s: int


def kinds_of(pod: Pod) -> tuple[WorkKind, ...]:
    """The kinds of work that a pod is of, the narrowest first."""
    gang = pod.gang
    name = pod.owner_name or (pod.name if gang is None else gang.name)
    milli_gpu = pod.shape.milli_gpu * (1 if gang is None or gang.size is None else gang.size)
    queue = "" if pod.queue is None else str(pod.queue)
    narrow = WorkKind(
        namespace=pod.namespace,
        name=_UNIQUE.sub("", name),
        user=pod.user,
        queue=queue,
        size=(-(-milli_gpu // MILLI_GPU)).bit_length(),
    )
    return (narrow, msgspec.structs.replace(narrow, name="")) if pod.user else (narrow,)


def run_of(pod: Pod, ended_s: int) -> Run | None:
    """The run of a pod that ended well then; None where it is not known since when it had its node."""
    if pod.bound_s is None:
        return None
    of = pod.uid if pod.gang is None else f"{pod.owner_uid or ''}/{pod.gang.name}"
    return Run(kinds=kinds_of(pod), of=of, ended_s=ended_s, ran_s=max(ended_s - pod.bound_s, 1))


class LengthBook:
    """The latest runs of each kind. No answer depends on the order in which runs were heard of."""

    def __init__(self) -> None:
        """Nothing has run."""
        self._runs: dict[WorkKind, dict[str, tuple[int, int]]] = {}

    def see(self, run: Run) -> set[WorkKind]:
        """Take in a run; the kinds of which something else is known now."""
        return {kind for kind in run.kinds if self._see(kind, run)}

    def expects(self, kinds: Sequence[WorkKind]) -> Learned | None:
        """How long work of these kinds runs, by the first of which enough is known."""
        for kind in kinds:
            runs = sorted(ran_s for _, ran_s in self._runs.get(kind, {}).values())
            if len(runs) >= LEAST:
                high = runs[-(-HIGH_TENTHS * len(runs) // 10) - 1]
                return Learned(median_s=runs[(len(runs) - 1) // 2], high_s=high, runs=len(runs))
        return None

    def facts(self) -> Iterator[Run]:
        """Runs that would bring an empty book to where this one is."""
        for kind, runs in self._runs.items():
            for of, (ended_s, ran_s) in runs.items():
                yield Run(kinds=(kind,), of=of, ended_s=ended_s, ran_s=ran_s)

    def _see(self, kind: WorkKind, run: Run) -> bool:
        runs = self._runs.setdefault(kind, {})
        before = runs.get(run.of)
        now = (run.ended_s, run.ran_s)
        runs[run.of] = now if before is None else (max(now[0], before[0]), max(now[1], before[1]))
        if len(runs) > LAST:
            del runs[min(runs, key=lambda of: (runs[of], of))]
        if len(self._runs) > KINDS:
            del self._runs[min(self._runs, key=lambda each: (max(self._runs[each].values()), each))]
        return self._runs.get(kind, {}).get(run.of) != before
