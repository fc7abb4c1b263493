"""Pods into workloads: who belongs together, and what the whole asks for."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from scheduler.model.names import NodeName, QueueName, WorkloadKey, gang_key, people_name, pod_key
from scheduler.model.workload import GangClaim, Pod, Problem, RoleMinimums, Slices, Workload
from scheduler.state.events import JobSeen
from scheduler.state.queues import QUEUE_KEY, QueueFinder

SIZE_KEY = "annotation bayplan.dev/gang-size"
LEAST_KEY = "annotation bayplan.dev/gang-min"
ROLES_KEY = "annotation bayplan.dev/role-min"

SIZE_ALLOWED = (
    "a whole number on every member; it may be left out only beside bayplan.dev/gang-min, or where an Indexed Job has "
    "completions = parallelism > 1"
)


def key_of(pod: Pod, job: JobSeen | None) -> WorkloadKey | None:
    """The workload that `pod`, owned by `job`, is a member of; None where we have nothing to do with it.

    A gang is claimed by the pod itself or by the Job above it; a managed pod without one is a workload of its own.
    """
    if pod.gang is not None and (pod.managed or pod.ours):
        return gang_key(pod.namespace, pod.gang.name)
    if pod.ours and job is not None and job.gang is not None:
        return gang_key(pod.namespace, job.gang.name)
    return pod_key(pod.namespace, pod.name) if pod.managed else None


def workload_of(
    key: WorkloadKey,
    pods: Collection[Pod],
    jobs: Mapping[str, JobSeen],
    finder: QueueFinder,
    avoid: frozenset[NodeName],
) -> Workload:
    """The workload of its members `pods`, of which there is at least one."""
    managed = [p if p.managed else msgspec.structs.replace(p, managed=True) for p in pods]
    if key.startswith("pod:"):
        return _alone(key, managed[0], jobs, finder, avoid)
    members = tuple(sorted(managed, key=_rank))
    uids = {p.owner_uid for p in members if p.owner_uid is not None}
    owners: dict[str | None, JobSeen] = {uid: jobs[uid] for uid in uids if uid in jobs}
    gang = _Gang(people_name(key), members, sorted(owners.values(), key=lambda j: j.name))
    size = gang.size()
    role_minimums = gang.role_minimums(size)
    gang.roles()
    return Workload(
        key=key,
        is_gang=True,
        queue=gang.queue(owners, finder),
        size=size,
        min_member=gang.least(size, role_minimums),
        role_minimums=role_minimums,
        priority=max(p.priority for p in members),
        created_s=min(p.created_s for p in members),
        members=members,
        user=gang.one("label bayplan.dev/user", [p.user or None for p in members]) or "",
        topology_required=gang.one("annotation bayplan.dev/topology-required", [p.topology_required for p in members]),
        topology_preferred=gang.one(
            "annotation bayplan.dev/topology-preferred", [p.topology_preferred for p in members]
        ),
        topology_slices=gang.slices(),
        topology_exclusive=gang.one(
            "annotation bayplan.dev/topology-exclusive", [p.topology_exclusive for p in members]
        ),
        duration_s=max((p.duration_s for p in members if p.duration_s is not None), default=None),
        preemptible=all(p.preemptible for p in members),
        avoid=avoid,
        problems=tuple(gang.problems),
    )


def _alone(
    key: WorkloadKey, pod: Pod, jobs: Mapping[str, JobSeen], finder: QueueFinder, avoid: frozenset[NodeName]
) -> Workload:
    job = jobs.get(pod.owner_uid) if pod.owner_uid is not None else None
    found = finder.find(pod.namespace, _named(pod, job))
    problems = (*pod.problems, *(() if job is None else job.problems), *_gangs_only(pod))
    return Workload(
        key=key,
        is_gang=False,
        queue=None if isinstance(found, Problem) else found,
        size=1,
        min_member=1,
        priority=pod.priority,
        created_s=pod.created_s,
        members=(pod,),
        user=pod.user,
        topology_required=pod.topology_required,
        topology_preferred=pod.topology_preferred,
        duration_s=pod.duration_s,
        preemptible=pod.preemptible,
        avoid=avoid,
        problems=(*problems, found) if isinstance(found, Problem) else problems,
    )


def _gangs_only(pod: Pod) -> Iterator[Problem]:
    """What a pod that stands alone asks for and only a gang can have."""
    slices = ",".join(f"{level}={size}" for level, size in pod.topology_slices)
    wishes = {
        "topology-slices": slices,
        "topology-exclusive": pod.topology_exclusive,
        "role-topology-required": pod.role_required,
    }
    for key, value in wishes.items():
        if value:
            yield Problem(where=f"annotation bayplan.dev/{key}", value=value, allowed="only on the pods of a gang")


def _rank(pod: Pod) -> tuple[bool, int, str, str]:
    return (pod.index is None, pod.index or 0, pod.name, pod.uid)


def _named(pod: Pod, job: JobSeen | None) -> QueueName | None:
    return pod.queue if pod.queue is not None or job is None else job.queue


def _enough(claim: GangClaim) -> int:
    """How many pods are enough, 0 where the claim does not say so."""
    return max(claim.least or 0, sum(number for _, number in claim.role_least))


class _Gang:
    """What a gang's members and Jobs agree on; `problems` collects, once each, what they do not."""

    def __init__(self, name: str, members: tuple[Pod, ...], owners: Sequence[JobSeen]) -> None:
        self._name = name
        self._members = members
        self._owners = owners
        claims = [p.gang for p in members] + [j.gang for j in owners]
        self._claims = [c for c in claims if c is not None and c.name == name.partition("/")[2]]
        self.problems: dict[Problem, None] = {q: None for p in members for q in p.problems}
        self.problems.update((q, None) for j in owners for q in j.problems)

    def size(self) -> int:
        """How many pods the gang has still to have: what it states, less those that succeeded already.

        One that states only how many are enough has as many as there are.
        """
        stated = sorted({c.size for c in self._claims if c.size is not None})
        stated = stated or sorted({j.completions for j in self._owners if j.completions is not None})
        present = sum(not p.deleting for p in self._members)
        least = max((_enough(c) for c in self._claims), default=0)
        if not stated and least:
            return max(present, least)
        if not stated:
            if not any(q.where == SIZE_KEY for q in self.problems):
                self._add(f"{SIZE_KEY} of gang {self._name}", "", SIZE_ALLOWED)
            return max(present, 1)
        if len(stated) > 1:
            self._add(f"{SIZE_KEY} of gang {self._name}", " and ".join(map(str, stated)), "one size for all members")
        if least > stated[-1]:
            self._add(f"{LEAST_KEY} of gang {self._name}", str(least), f"at most its size, {stated[-1]}")
        succeeded = sum(j.succeeded for j in self._owners if j.completions is not None)
        size = max(stated[-1] - succeeded, 1)
        if present > size:
            self._add(f"number of pods of gang {self._name}", str(present), f"at most its size, {size}")
        return size

    def role_minimums(self, size: int) -> RoleMinimums:
        """How many pods of which roles have to stand: what members say of it, as long as `size` pods can keep it."""
        stated = {",".join(f"{role}={n}" for role, n in c.role_least): c.role_least for c in self._claims}
        chosen = self.one(ROLES_KEY, [text or None for text in stated])
        minimums = () if chosen is None else stated[chosen]
        return minimums if sum(n for _, n in minimums) <= size else ()

    def least(self, size: int, role_minimums: RoleMinimums) -> int:
        """How many of `size` pods have to stand: the most that any member claims, all where none does."""
        stated = [c.least for c in self._claims if c.least is not None]
        needed = sum(n for _, n in role_minimums)
        return min(max([*stated, needed]) or size, size)

    def queue(self, owners: Mapping[str | None, JobSeen], finder: QueueFinder) -> QueueName | None:
        """The one queue that all members belong to."""
        found: set[QueueName] = set()
        missing = False
        for named in sorted({_named(p, owners.get(p.owner_uid)) or "" for p in self._members}):
            match finder.find(self._members[0].namespace, QueueName(named) if named else None):
                case Problem() as problem:
                    self.problems[problem] = None
                    missing = True
                case name:
                    found.add(name)
        if len(found) > 1:
            self._add(f"{QUEUE_KEY} of gang {self._name}", " and ".join(sorted(found)), "one queue for all members")
        return next(iter(found)) if len(found) == 1 and not missing else None

    def one(self, where: str, values: Iterable[str | None]) -> str | None:
        """The value that members give; the first in order where they differ, which is a problem."""
        stated = sorted({v for v in values if v is not None})
        if len(stated) > 1:
            self._add(f"{where} of gang {self._name}", " and ".join(stated), "one value for all members")
        return stated[0] if stated else None

    def slices(self) -> Slices:
        """The slices that members give."""
        stated = {",".join(f"{level}={n}" for level, n in p.topology_slices): p.topology_slices for p in self._members}
        chosen = self.one("annotation bayplan.dev/topology-slices", [text or None for text in stated])
        return () if chosen is None else stated[chosen]

    def roles(self) -> None:
        """Pods of one role agree on its level."""
        wishes: dict[str, set[str]] = {}
        for pod in self._members:
            if pod.role:
                wishes.setdefault(pod.role, set()).add(pod.role_required or "(none)")
        for role, levels in sorted(wishes.items()):
            self.one(f"annotation bayplan.dev/role-topology-required of role {role}", sorted(levels))

    def _add(self, where: str, value: str, allowed: str) -> None:
        self.problems[Problem(where=where, value=value, allowed=allowed)] = None
