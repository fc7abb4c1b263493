"""Whether what a scenario says of the roles of a gang agrees with itself."""

from collections.abc import Iterator

from scheduler.model.node import NODE_LEVEL
from scheduler.simulate.document import ScenarioDoc, WorkloadDoc
from scheduler.simulate.refusal import Refused


def contradictions_in_roles(doc: ScenarioDoc) -> Iterator[Refused]:
    """All that is said of roles and cannot be so."""
    levels = [*(level.name for level in doc.topology), NODE_LEVEL.name]
    for at, workload in enumerate(doc.workloads):
        for index, group in enumerate(workload.pods):
            level = group.topology.required
            if level is not None and level not in levels:
                where = f"workloads[{at}].pods[{index}].topology.required"
                yield Refused(where=where, why=f"{level!r}; allowed: {', '.join(levels)}")
        yield from _of_workload(f"workloads[{at}]", workload)


def _of_workload(here: str, workload: WorkloadDoc) -> Iterator[Refused]:
    stated: dict[str, tuple[int | None, str | None]] = {}
    for at, group in enumerate(workload.pods):
        said = group.min_member, group.topology.required
        where = f"{here}.pods[{at}]"
        if group.role is None or not workload.is_gang:
            if said != (None, None):
                key = "minMember" if group.min_member is not None else "topology"
                yield Refused(where=f"{where}.{key}", why="only pods of a gang with a role have it; give them a role")
        elif stated.setdefault(group.role, said) != said:
            why = f"all pods of the role {group.role} have to say the same minMember and topology"
            yield Refused(where=f"{where}.role", why=why)
    minimums = workload.role_minimums
    for role, least in minimums.items():
        there = sum(group.count for group in workload.pods if group.role == role)
        if least > there:
            yield Refused(
                where=f"{here}.pods", why=f"{least} pods of the role {role} are needed, and there are {there}"
            )
    if sum(minimums.values()) > workload.least:
        why = f"roles need {sum(minimums.values())} pods, more than minMember, {workload.least}"
        yield Refused(where=f"{here}.minMember", why=why)
