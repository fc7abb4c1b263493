"""What the pods of a gang, and what stands above them, say of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from scheduler.model.names import QueueName
from scheduler.model.node import CLIQUE_LABEL, NODE_LEVEL
from scheduler.model.workload import QUEUE_KEY, GangClaim, Pod, Problem, RoleMinimums, Slices
from scheduler.scoring.found_levels import CLIQUE_LEVEL
from scheduler.state.events import GroupSeen, JobSeen
from scheduler.state.queues import QueueFinder

SIZE_KEY = "annotation bayplan.dev/gang-size"
LEAST_KEY = "annotation bayplan.dev/gang-min"
ROLES_KEY = "annotation bayplan.dev/role-min"

SIZE_ALLOWED = (
    "a whole number on every member; it may be left out only beside bayplan.dev/gang-min, or where an Indexed Job has "
    "completions = parallelism > 1"
)
DESCRIBED_ALLOWED = (
    "a whole number on every member; it may be left out only where the object that the gang is named after says how "
    "many pods there are or are enough, and no such object is known"
)


def named(pod: Pod, job: JobSeen | None, group: GroupSeen | None) -> tuple[QueueName | None, str]:
    """The queue that is named for a pod, and where: by itself, by its Job, or by what describes its gang."""
    if pod.queue is not None:
        return pod.queue, pod.queue_key
    if job is not None and job.queue is not None:
        return job.queue, job.queue_key
    if group is not None and group.queue is not None:
        return group.queue, group.queue_key
    return None, QUEUE_KEY


def _enough(claim: GangClaim) -> int:
    """How many pods are enough, 0 where the claim does not say so."""
    return max(claim.least or 0, sum(number for _, number in claim.role_least))


def described(group: GroupSeen, role: str) -> GangClaim:
    """What the object says of a gang with members of this role."""
    number = dict(group.role_sizes).get(role)
    match group.form:
        case "gang" | "alone":
            return group.claim
        case "roles":
            return GangClaim(name="", size=number)
        case "parts":
            return GangClaim(name="", least=number)
        case _:
            assert_never(group.form)


WITHIN_A_CLIQUE = frozenset({CLIQUE_LABEL, CLIQUE_LEVEL, NODE_LEVEL.name, NODE_LEVEL.label})
"""Levels that are no larger than a clique."""


class Gang:
    """What a gang's members, their Jobs and the object that describes it agree on.

    `problems` collects, once each, what they do not.
    """

    def __init__(self, name: str, members: tuple[Pod, ...], owners: Sequence[JobSeen], group: GroupSeen | None) -> None:
        """The gang of this `namespace/name`."""
        self._name = name
        self._members = members
        self._owners = owners
        self._group = group
        short_name = name.partition("/")[2]
        claims = [p.gang for p in members] + [j.gang for j in owners]
        self._claims = [c for c in claims if c is not None and c.name == short_name]
        self._described = GangClaim(name="")
        if group is not None:
            self._described = described(group, members[0].role)
        self._succeeded = sum(j.succeeded for j in owners if j.completions is not None)
        self.problems: dict[Problem, None] = {q: None for p in members for q in p.problems}
        self.problems.update((q, None) for j in owners for q in j.problems)
        self.problems.update((q, None) for q in (() if group is None else group.problems))
        self.notes: dict[str, None] = {text: None for p in members for text in p.notes}
        self.notes.update((text, None) for j in owners for text in j.notes)
        self.notes.update((text, None) for text in (() if group is None else group.notes))

    def size(self) -> int:
        """How many pods the gang has still to have: what it states, less those that succeeded already.

        One that states only how many are enough has as many as there are.
        """
        stated = sorted({c.size for c in self._claims if c.size is not None})
        stated = stated or [size for size in (self._described.size,) if size is not None]
        stated = stated or sorted({j.completions for j in self._owners if j.completions is not None})
        present = sum(not p.deleting for p in self._members)
        least = max((_enough(c) for c in self._claims), default=0) or _enough(self._described)
        if not stated and least:
            return max(present, least)
        if not stated:
            foreign = self._claims and "/" in self._claims[0].name
            if not any(q.where == SIZE_KEY for q in self.problems):
                self._add(f"{SIZE_KEY} of gang {self._name}", "", DESCRIBED_ALLOWED if foreign else SIZE_ALLOWED)
            return max(present, 1)
        if len(stated) > 1:
            self._add(f"{SIZE_KEY} of gang {self._name}", " and ".join(map(str, stated)), "one size for all members")
        if least > stated[-1]:
            self._add(f"{LEAST_KEY} of gang {self._name}", str(least), f"at most its size, {stated[-1]}")
        size = max(stated[-1] - self._succeeded, 1)
        if present > size:
            self._add(f"number of pods of gang {self._name}", str(present), f"at most its size, {size}")
        return size

    def role_minimums(self, size: int) -> RoleMinimums:
        """How many pods of which roles have to stand: what members say of it, as long as `size` pods can keep it.

        Once members stand, those of a role that are not there have done their work, or are being made again.
        """
        stated = {",".join(f"{role}={n}" for role, n in c.role_least): c.role_least for c in self._claims}
        chosen = self.one(ROLES_KEY, [text or None for text in stated])
        minimums = self._described.role_least if chosen is None else stated[chosen]
        if any(p.node is not None for p in self._members):
            there = Counter(p.role for p in self._members)
            minimums = tuple((role, min(n, there[role])) for role, n in minimums if there[role])
        return minimums if sum(n for _, n in minimums) <= size else ()

    def least(self, size: int, role_minimums: RoleMinimums) -> int:
        """How many of `size` pods have to stand: the most that any member claims, all where none does.

        Those that succeeded already count as standing.
        """
        stated = max((c.least or 0 for c in self._claims), default=0)
        if not any(_enough(c) for c in self._claims):
            stated = self._described.least or 0
        needed = sum(n for _, n in role_minimums)
        return min(max(stated - self._succeeded, needed, 1), size) if stated or needed else size

    def queue(self, owners: Mapping[str | None, JobSeen], finder: QueueFinder) -> QueueName | None:
        """The one queue that all members belong to."""
        found: set[QueueName] = set()
        missing = False
        naming = {named(p, owners.get(p.owner_uid), self._group) for p in self._members}
        for name, where in sorted(naming, key=lambda one: (one[0] or "", one[1])):
            match finder.find(self._members[0].namespace, name, where):
                case Problem() as problem:
                    self.problems[problem] = None
                    missing = True
                case queue:
                    found.add(queue)
        if len(found) > 1:
            self._add(f"{QUEUE_KEY} of gang {self._name}", " and ".join(sorted(found)), "one queue for all members")
        return next(iter(found)) if len(found) == 1 and not missing else None

    def one(self, where: str, values: Iterable[str | None]) -> str | None:
        """The value that members give; the first in order where they differ, which is a problem."""
        stated = sorted({v for v in values if v is not None})
        if len(stated) > 1:
            self._add(f"{where} of gang {self._name}", " and ".join(stated), "one value for all members")
        return stated[0] if stated else None

    def required_level(self) -> str | None:
        """The level of which one domain holds the gang.

        IMEX channels reach the memory of GPUs of one NVLink domain (NVIDIA DRA driver, ComputeDomains), so members that
        claim one want no domain that is larger.
        """
        asked = self.one("annotation bayplan.dev/topology-required", [p.topology_required for p in self._members])
        asked = asked or (None if self._group is None else self._group.topology_required)
        if not any(p.one_clique for p in self._members) or asked in WITHIN_A_CLIQUE:
            return asked
        if asked is not None:
            allowed = f"{CLIQUE_LABEL} or nothing where pods claim an IMEX channel, which reaches no farther"
            self._add(f"required topology of gang {self._name}", asked, allowed)
        return CLIQUE_LABEL

    def slices(self) -> Slices:
        """The slices that members give."""
        stated = {",".join(f"{level}={n}" for level, n in p.topology_slices): p.topology_slices for p in self._members}
        chosen = self.one("annotation bayplan.dev/topology-slices", [text or None for text in stated])
        if chosen is None:
            return () if self._group is None else self._group.topology_slices
        return stated[chosen]

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
