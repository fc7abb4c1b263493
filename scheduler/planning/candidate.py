"""A workload as the planner takes it up: who waits, in which groups of equal pods, at what charge."""

from collections.abc import Mapping, Sequence

import msgspec

from scheduler.model.workload import Pod, PodShape, Problem, Workload
from scheduler.scoring.gangs.gang import size_of
from scheduler.scoring.gangs.slices import kind_of


class Candidate(msgspec.Struct, frozen=True):
    """`groups`: shapes and counts of the pending members, largest first; `members[g]` are those of group g by rank.

    Pods whose role has a level of its own are apart from others of the same shape.
    """

    workload: Workload
    pending: tuple[Pod, ...]
    standing: tuple[Pod, ...]
    groups: tuple[tuple[PodShape, int], ...]
    members: tuple[tuple[Pod, ...], ...]
    milli_gpu: int
    """Quota charge of the pending members."""
    problems: tuple[Problem, ...]
    """What could not be read, of the workload and its pending members."""
    gated: int
    """Pending members that carry scheduling gates of others."""

    @property
    def needed(self) -> int:
        """How many pending members have to be placed for the workload to stand, at least one."""
        missing = max(self.workload.min_member - len(self.standing), sum(self._missing.values()))
        return max(1, min(missing, len(self.pending)))

    @property
    def least(self) -> "Candidate":
        """The same workload with only those pending members that have to be placed for it to stand."""
        return self if self.needed == len(self.pending) else self.first(self.needed)

    @property
    def in_turn(self) -> tuple[Pod, ...]:
        """The pending members in the order in which `first` takes them."""
        if not self.workload.role_minimums:
            return self.pending
        least = self.least.pending
        needed = {pod.uid for pod in least}
        return (*least, *(pod for pod in self.pending if pod.uid not in needed))

    @property
    def stands(self) -> bool:
        """Whether this is a gang of which enough members stand: those that wait are more than it needs."""
        return self.workload.is_gang and not self.workload.lacking(self.standing)

    @property
    def alone(self) -> bool:
        """Whether this is one pod by itself."""
        return not self.workload.is_gang and len(self.workload.members) == 1

    def first(self, count: int) -> "Candidate":
        """The same workload with only `count` pending members: what its roles lack, and the first others, by rank."""
        pods = chosen(self.pending, count, self._missing) if self.workload.role_minimums else self.pending[:count]
        return _candidate(self.workload, pods, self.standing)

    @property
    def _missing(self) -> dict[str, int]:
        """How many members of which roles have to be placed for the workload to stand."""
        if not self.workload.role_minimums:
            return {}
        lacking = self.workload.lacking(self.standing)
        return {lack.role: lack.needed - lack.there for lack in lacking if lack.role is not None}

    def only(self, pods: Sequence[Pod]) -> "Candidate":
        """The same workload with some of its pending members, by rank."""
        return _candidate(self.workload, tuple(pods), self.standing)


def candidate_of(workload: Workload) -> Candidate | None:
    """The workload's pending members; None where none waits."""
    pending = workload.pending
    return _candidate(workload, pending, workload.placed) if pending else None


def _candidate(workload: Workload, pending: tuple[Pod, ...], standing: tuple[Pod, ...]) -> Candidate:
    by_kind = _by_kind(pending)
    by_kind.sort(key=lambda pods: size_of(pods[0].shape), reverse=True)
    problems = [*workload.problems, *(problem for pod in pending for problem in pod.problems)]
    return Candidate(
        workload,
        pending,
        standing,
        tuple((pods[0].shape, len(pods)) for pods in by_kind),
        tuple(tuple(pods) for pods in by_kind),
        sum(pods[0].shape.milli_gpu * len(pods) for pods in by_kind),
        tuple(dict.fromkeys(problems)),
        sum(pod.foreign_gates for pod in pending),
    )


def _by_kind(pods: Sequence[Pod]) -> list[list[Pod]]:
    """Pods of one kind together, in the order in which kinds first appear."""
    groups: dict[tuple[str, PodShape], list[Pod]] = {}
    last: list[Pod] = []
    for pod in pods:
        if not last or not _same_kind(pod, last[0]):
            last = groups.setdefault(kind_of(pod), [])
        last.append(pod)
    return list(groups.values())


def _same_kind(a: Pod, b: Pod) -> bool:
    """As equality of `kind_of`, quickly."""
    if a.role_required is None and b.role_required is None:
        return a.shape is b.shape or a.shape == b.shape
    return kind_of(a) == kind_of(b)


def chosen(pods: Sequence[Pod], count: int, of_role: Mapping[str, int]) -> tuple[Pod, ...]:
    """`count` of the pods, in their order: so many of each role, the first, and of all others the first too."""
    left = dict(of_role)
    needed: set[str] = set()
    for pod in pods:
        if left.get(pod.role, 0):
            left[pod.role] -= 1
            needed.add(pod.uid)
    others = [pod.uid for pod in pods if pod.uid not in needed]
    taken = needed.union(others[: max(count - len(needed), 0)])
    return tuple(pod for pod in pods if pod.uid in taken)


def by_need(workload: Workload) -> Workload:
    """The same with those first that it cannot do without: what its roles need, then the first by rank."""
    if not workload.role_minimums:
        return workload
    core = chosen(workload.placed, workload.min_member, dict(workload.role_minimums))
    kept = {pod.uid for pod in core}
    others = tuple(pod for pod in workload.members if pod.uid not in kept)
    return msgspec.structs.replace(workload, members=(*core, *others))
