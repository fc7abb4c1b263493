"""What reservations promise, on random work of known length that is played to its end."""

# ruff: noqa: ANN401  fields of records are passed on by keyword

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.plan import Admit, Plan, Reservation, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Learned, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import Backfill, PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import drawn, equal, queue, snapshot
from tests.planning.linked_clusters import all_clusters
from tests.planning.random_clusters import Cluster

LAWS = settings(max_examples=60, deadline=None)

DRAWING = """
    b0/r0 n0: ....
    b0/r0 n1: ....
    b0/r1 n2: ....
    b0/r1 n3: ....
"""
"""Sixteen GPUs."""

T0_S = 1000


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A gang that comes at a time and runs as long as it says."""

    name: str
    pods: int
    gpus: int
    comes_s: int
    runs_s: int
    rack: bool
    tells: bool = True

    def workload(self) -> Workload:
        level = "rack" if self.rack else None
        return equal(
            self.name,
            self.pods,
            self.gpus,
            created_s=self.comes_s,
            duration_s=self.runs_s if self.tells else None,
            topology_required=level,
        )


@st.composite
def jobs(draw: st.DrawFn, *, most: int = 9, secretive: bool = False) -> list[Job]:
    found: list[Job] = []
    for i in range(draw(st.integers(2, most))):
        rack = draw(st.integers(0, 3)) == 0
        found.append(
            Job(
                name=f"j{i}",
                pods=draw(st.integers(1, 2 if rack else 4)),
                gpus=draw(st.sampled_from([1, 2, 4, 4])),
                comes_s=T0_S + draw(st.integers(0, 60)),
                runs_s=draw(st.integers(1, 100)),
                rack=rack,
                tells=not secretive or draw(st.integers(0, 2)) > 0,
            )
        )
    return found


def at(workload: Workload, nodes: list[NodeName], bound_s: int) -> Workload:
    members = tuple(
        msgspec.structs.replace(pod, node=node, bound_s=bound_s, gated=False)
        for pod, node in zip(workload.members, nodes, strict=True)
    )
    return msgspec.structs.replace(workload, members=members)


def seen(workloads: list[Workload]) -> Snapshot:
    nodes, _ = drawn(DRAWING)
    return snapshot(nodes, workloads, queues=[queue("a")])


def reservations(decided: Plan) -> dict[WorkloadKey, Reservation]:
    return {d.workload: d.reservation for d in decided.decisions if isinstance(d, Wait) and d.reservation is not None}


def played(work: list[Job], chosen: PlanSettings) -> tuple[dict[WorkloadKey, int], dict[WorkloadKey, Reservation]]:
    """When each job started, and what it was told first; jobs end when they said they would."""
    coming = sorted(work, key=lambda job: (job.comes_s, job.name))
    there: dict[WorkloadKey, Workload] = {}
    ends: dict[WorkloadKey, int] = {}
    lasts = {job.workload().key: job.runs_s for job in work}
    started: dict[WorkloadKey, int] = {}
    told: dict[WorkloadKey, Reservation] = {}
    now_s = T0_S
    while coming or there:
        for key in [key for key, end_s in ends.items() if end_s <= now_s]:
            del there[key], ends[key]
        while coming and coming[0].comes_s <= now_s:
            made = coming.pop(0).workload()
            there[made.key] = made
        snap = seen(list(there.values()))
        decided = plan(snap, now_s=now_s, settings=msgspec.structs.replace(chosen, solver_budget_ms=0))
        assert broken_rules(snap, decided) == []
        for decision in decided.decisions:
            if isinstance(decision, Admit):
                nodes = [assignment.node for assignment in decision.placement.assignments]
                there[decision.workload] = at(there[decision.workload], nodes, now_s)
                ends[decision.workload] = now_s + lasts[decision.workload]
                started[decision.workload] = now_s
        for key, reservation in reservations(decided).items():
            told.setdefault(key, reservation)
        assert ends or not there
        now_s = min([*ends.values(), *(job.comes_s for job in coming[:1])], default=now_s)
    return started, told


@pytest.mark.long
@LAWS
@given(work=jobs())
def test_nobody_starts_later_than_was_promised(work: list[Job]) -> None:
    started, told = played(work, PlanSettings())
    assert len(started) == len(work)
    for key, reservation in told.items():
        assert started[key] <= reservation.start_s, key


@pytest.mark.long
@LAWS
@given(work=jobs(secretive=True), known_s=st.integers(0, 80), unknown_s=st.integers(0, 80), by_length=st.booleans())
def test_nobody_waits_beyond_its_patience(
    work: list[Job],
    known_s: int,
    unknown_s: int,
    by_length: bool,
) -> None:
    chosen = PlanSettings(backfill_bound_s=known_s, backfill_unknown_bound_s=unknown_s, by_length=by_length)
    started, told = played(work, chosen)
    came_s = {job.workload().key: job.comes_s for job in work}
    assert len(started) == len(work)
    for key, reservation in told.items():
        if not reservation.sure:
            continue
        assert started[key] <= max(reservation.start_s, came_s[key] + max(known_s, unknown_s)), key


@pytest.mark.long
@LAWS
@given(work=jobs(secretive=True), policy=st.sampled_from(["easy", "conservative"]))
def test_everybody_starts_where_work_goes_by_its_relative_wait(work: list[Job], policy: Backfill) -> None:
    started, _ = played(work, PlanSettings(order="relativeWait", backfill=policy))
    assert len(started) == len(work)


@pytest.mark.long
@LAWS
@given(work=jobs())
def test_conservative_reservations_keep_the_rules_too(work: list[Job]) -> None:
    started, _ = played(work, PlanSettings(backfill="conservative"))
    assert len(started) == len(work)


@LAWS
@given(work=jobs(), more=jobs(most=4), running=st.integers(0, 4))
def test_conservative_nobody_is_delayed_by_a_later_one(work: list[Job], more: list[Job], running: int) -> None:
    early = sorted(work, key=lambda job: (job.comes_s, job.name))
    there = [
        at(msgspec.structs.replace(job, pods=1, gpus=4).workload(), [NodeName(f"n{i}")], T0_S + 99)
        for i, job in enumerate(early[:running])
    ]
    there += [job.workload() for job in early[running:]]
    late = [
        msgspec.structs.replace(job, name=f"late-{job.name}", comes_s=T0_S + 90 + i).workload()
        for i, job in enumerate(more)
    ]
    chosen = PlanSettings(backfill="conservative", solver_budget_ms=0)
    alone = plan(seen(there), now_s=T0_S + 100, settings=chosen)
    together = plan(seen(there + late), now_s=T0_S + 100, settings=chosen)
    after = {decision.workload: decision for decision in together.decisions}
    for decision in alone.decisions:
        if isinstance(decision, Admit):
            assert after[decision.workload] == decision
        if isinstance(decision, Wait):
            assert reservations(alone).get(decision.workload) == reservations(together).get(decision.workload)


@pytest.mark.long
@LAWS
@given(cluster=all_clusters(), more=all_clusters(), data=st.data())
def test_no_reservation_breaks_a_rule(cluster: Cluster, more: Cluster, data: st.DataObject) -> None:
    lengths = st.sampled_from([None, 5, 10, 50])

    def timed(workload: Workload, **changes: Any) -> Workload:
        said = data.draw(lengths)
        learned = None if said is None or data.draw(st.booleans()) else Learned(median_s=said, high_s=2 * said, runs=3)
        told = said if learned is None else None
        return msgspec.structs.replace(workload, duration_s=told, learned=learned, **changes)

    policy: Backfill = data.draw(st.sampled_from(["easy", "conservative"]))
    chosen = PlanSettings(solver_budget_ms=0, backfill=policy)
    first = msgspec.structs.replace(cluster, workloads=tuple(timed(each) for each in cluster.workloads))
    there = {workload.key: workload for workload in first.workloads}
    for decision in plan(first.snapshot(), now_s=100, settings=chosen).decisions:
        if isinstance(decision, Admit):
            nodes = {assignment.pod: assignment.node for assignment in decision.placement.assignments}
            members = tuple(
                msgspec.structs.replace(pod, node=nodes[pod.uid], bound_s=100) if pod.uid in nodes else pod
                for pod in there[decision.workload].members
            )
            there[decision.workload] = msgspec.structs.replace(there[decision.workload], members=members)
    names = {node.name for node in first.nodes}
    for workload in more.workloads:
        pods = tuple(
            msgspec.structs.replace(pod, uid=PodUid(f"more-{pod.uid}"), name=f"more-{pod.name}", node=None)
            for pod in workload.members
        )
        key = WorkloadKey(f"{workload.key}-more")
        there[key] = timed(workload, key=key, members=pods, avoid=workload.avoid & names)
    snap = msgspec.structs.replace(first, workloads=tuple(there.values())).snapshot()
    before = snap.columns.used.copy()
    decided = plan(snap, now_s=104, settings=chosen)
    assert broken_rules(snap, decided) == []
    assert np.array_equal(before, snap.columns.used)
