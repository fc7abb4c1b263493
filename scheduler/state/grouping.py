"""Pods into workloads: who belongs together, and what the whole asks for."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from scheduler.model.names import NodeName, WorkloadKey, gang_key, people_name, pod_key
from scheduler.model.workload import Pod, Problem, Workload
from scheduler.state.events import GroupSeen, JobSeen
from scheduler.state.gang import Gang, named
from scheduler.state.priorities import priority_of
from scheduler.state.queues import QueueFinder

NO_CLASSES: Mapping[str, int] = {}


def key_of(pod: Pod, job: JobSeen | None, group: GroupSeen | None = None) -> WorkloadKey | None:
    """The workload that `pod`, owned by `job` and described by `group`, is a member of.

    None where we have nothing to do with it. A gang is claimed by the pod itself or by the Job above it; a managed pod
    without one is a workload of its own.
    """
    if pod.gang is not None and (pod.managed or pod.ours):
        form = "gang" if group is None else group.form
        if form == "alone" or (form == "parts" and group is not None and dict(group.role_sizes).get(pod.role) == 0):
            return pod_key(pod.namespace, pod.name) if pod.managed else None
        return gang_key(pod.namespace, f"{pod.gang.name}/{pod.role}" if form == "roles" else pod.gang.name)
    if pod.ours and job is not None and job.gang is not None:
        return gang_key(pod.namespace, job.gang.name)
    return pod_key(pod.namespace, pod.name) if pod.managed else None


def workload_of(
    key: WorkloadKey,
    pods: Collection[Pod],
    jobs: Mapping[str, JobSeen],
    group: GroupSeen | None,
    finder: QueueFinder,
    avoid: frozenset[NodeName],
    classes: Mapping[str, int] = NO_CLASSES,
) -> Workload:
    """The workload of its members `pods`, of which there is at least one; `group` describes it where there is such.

    `classes`: the priority classes that there are, by their names with their kinds in front.
    """
    managed = [p if p.managed else msgspec.structs.replace(p, managed=True) for p in pods]
    if key.startswith("pod:"):
        return _alone(key, managed[0], jobs, group, finder, avoid, classes)
    members = tuple(sorted((_with_level(p, group) for p in managed), key=_rank))
    uids = {p.owner_uid for p in members if p.owner_uid is not None}
    owners: dict[str | None, JobSeen] = {uid: jobs[uid] for uid in uids if uid in jobs}
    gang = Gang(people_name(key), members, sorted(owners.values(), key=lambda j: j.name), group)
    size = gang.size()
    role_minimums = gang.role_minimums(size)
    gang.roles()
    priority, unknown = priority_of(members, owners, group, classes)
    return Workload(
        key=key,
        is_gang=True,
        queue=gang.queue(owners, finder),
        size=size,
        min_member=gang.least(size, role_minimums),
        role_minimums=role_minimums,
        priority=priority,
        created_s=min(p.created_s for p in members),
        members=members,
        user=gang.one("label that says whose it is", [p.user or None for p in members]) or "",
        topology_required=gang.required_level(),
        topology_preferred=gang.one(
            "annotation bayplan.dev/topology-preferred", [p.topology_preferred for p in members]
        )
        or (group.topology_preferred if group is not None else None),
        topology_slices=gang.slices(),
        topology_exclusive=gang.one(
            "annotation bayplan.dev/topology-exclusive", [p.topology_exclusive for p in members]
        ),
        duration_s=_duration_s(members, owners),
        preemptible=all(p.preemptible for p in members) and (group is None or group.preemptible is not False),
        avoid=avoid,
        problems=tuple(gang.problems),
        notes=(*gang.notes, *unknown),
    )


def _alone(
    key: WorkloadKey,
    pod: Pod,
    jobs: Mapping[str, JobSeen],
    group: GroupSeen | None,
    finder: QueueFinder,
    avoid: frozenset[NodeName],
    classes: Mapping[str, int],
) -> Workload:
    job = jobs.get(pod.owner_uid) if pod.owner_uid is not None else None
    found = finder.find(pod.namespace, *named(pod, job, group))
    owners: dict[str | None, JobSeen] = {} if job is None else {job.uid: job}
    priority, unknown = priority_of((pod,), owners, group, classes)
    problems = (*pod.problems, *(() if job is None else job.problems), *_gangs_only(pod))
    return Workload(
        key=key,
        is_gang=False,
        queue=None if isinstance(found, Problem) else found,
        size=1,
        min_member=1,
        priority=priority,
        created_s=pod.created_s,
        members=(pod,),
        user=pod.user,
        topology_required=pod.topology_required,
        topology_preferred=pod.topology_preferred,
        duration_s=_duration_s((pod,), owners),
        preemptible=pod.preemptible,
        avoid=avoid,
        problems=(*problems, found) if isinstance(found, Problem) else problems,
        notes=(*pod.notes, *(() if job is None else job.notes), *(() if group is None else group.notes), *unknown),
    )


def _duration_s(members: Iterable[Pod], owners: Mapping[str | None, JobSeen]) -> int | None:
    """How long the workload is expected to run: as long as the member that runs longest, of those that say so."""
    found: list[int] = []
    for pod in members:
        job = owners.get(pod.owner_uid)
        ends_s = [n for n in (pod.duration_s, None if job is None else job.deadline_s) if n is not None]
        if ends_s:
            found.append(min(ends_s))
    return max(found, default=None)


def _with_level(pod: Pod, group: GroupSeen | None) -> Pod:
    """The pod with the level of its role, where only the object that describes the gang names one."""
    level = None if group is None or pod.role_required is not None else dict(group.role_levels).get(pod.role)
    return pod if level is None else msgspec.structs.replace(pod, role_required=level)


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
