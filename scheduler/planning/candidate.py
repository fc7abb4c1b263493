"""A workload as the planner takes it up: who waits, in which groups of equal pods, at what charge."""

from collections.abc import Sequence

import msgspec

from scheduler.model.names import WorkloadKey
from scheduler.model.workload import Pod, PodShape, Problem, Workload
from scheduler.scoring.gang import size_of


class Candidate(msgspec.Struct, frozen=True):
    """`groups`: shapes and counts of the pending members, largest first; `members[g]` are those of group g by rank."""

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
        return max(1, min(self.workload.min_member - len(self.standing), len(self.pending)))

    @property
    def alone(self) -> bool:
        """Whether this is one pod by itself."""
        return not self.workload.is_gang and len(self.workload.members) == 1

    def first(self, count: int) -> "Candidate":
        """The same workload with only its first `count` pending members, by rank."""
        return _candidate(self.workload, self.pending[:count], self.standing)


KnownCandidates = dict[WorkloadKey, tuple[Workload, Candidate | None]]
"""Candidates, valid while the workload is the very same record."""


def candidate_of(workload: Workload) -> Candidate | None:
    """The workload's pending members; None where none waits."""
    pending = workload.pending
    return _candidate(workload, pending, workload.placed) if pending else None


def _candidate(workload: Workload, pending: tuple[Pod, ...], standing: tuple[Pod, ...]) -> Candidate:
    by_shape = _by_shape(pending)
    by_shape.sort(key=lambda entry: size_of(entry[0]), reverse=True)
    problems = [*workload.problems, *(problem for pod in pending for problem in pod.problems)]
    return Candidate(
        workload,
        pending,
        standing,
        tuple((shape, len(pods)) for shape, pods in by_shape),
        tuple(tuple(pods) for _, pods in by_shape),
        sum(shape.milli_gpu * len(pods) for shape, pods in by_shape),
        tuple(dict.fromkeys(problems)),
        sum(pod.foreign_gates for pod in pending),
    )


def _by_shape(pods: Sequence[Pod]) -> list[tuple[PodShape, list[Pod]]]:
    """Pods with equal shapes together, in the order in which shapes first appear."""
    groups: dict[PodShape, list[Pod]] = {}
    last: tuple[PodShape, list[Pod]] | None = None
    for pod in pods:
        if last is None or (pod.shape is not last[0] and pod.shape != last[0]):
            last = (pod.shape, groups.setdefault(pod.shape, []))
        last[1].append(pod)
    return list(groups.items())
