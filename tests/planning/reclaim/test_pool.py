"""The pieces that a search looks at: read off the table as they are when all of them are made."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.workload import Workload
from scheduler.planning.candidate import candidate_of
from scheduler.planning.desk import Desk
from scheduler.planning.reclaim import pool as pools
from scheduler.planning.reclaim.pool import Pool
from scheduler.planning.reclaim.reach import useful
from scheduler.planning.reclaim.table import KnownTable, can_leave, lost_milli
from scheduler.planning.reclaim.units import Side
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.fleet import Fleet
from tests.planning.build import node, snapshot
from tests.planning.reclaim.cases import NOW_S, SETTINGS, asks, runs, team, tree

NODES = [node(f"n{i}", 8, labels={"example.com/rack": f"r{i // 2}"} if i < 7 else {}) for i in range(8)]


@st.composite
def work(draw: st.DrawFn) -> list[Workload]:
    """Pods alone, and gangs that need all their pods, on any nodes."""
    found: list[Workload] = []
    for i in range(draw(st.integers(4, 14))):
        on = draw(st.lists(st.sampled_from([n.name for n in NODES]), min_size=1, max_size=3))
        since = draw(st.sampled_from([-50, 0, 7, 300, 5000]))
        made = runs(
            f"w{i:02}", draw(st.sampled_from("ab")), on, 1, since=since, priority=draw(st.sampled_from([0, 0, 4]))
        )
        if draw(st.booleans()):
            saved = draw(st.sampled_from([NOW_S - 100, NOW_S + 100]))
            members = tuple(msgspec.structs.replace(pod, checkpointed_s=saved) for pod in made.members)
            made = msgspec.structs.replace(made, members=members)
        found.append(made)
    return found


@pytest.mark.long
@given(work(), st.sampled_from([None, "rack"]), st.sampled_from([0, 300]), st.data())
def test_places_and_pieces_are_the_same_whether_read_off_the_table_or_made(
    running: list[Workload], required: str | None, protected_s: int, data: st.DataObject
) -> None:
    snap = snapshot(NODES, [*running, asks("x", "c", 2, 8, topology_required=required)], queues=tree(*QUEUES))
    desk = Desk(snap, Fleet(snap), opening_ledger(snap), now_s=NOW_S, settings=SETTINGS)
    candidate = candidate_of(snap.workloads[WorkloadKey("gang:team/x")])
    assert candidate is not None
    allowed = {QueueName("a"): Side("reclaim", protected_s, 99_000), QueueName("b"): Side("reclaim", 0, 99_000)}
    for key in data.draw(st.lists(st.sampled_from(desk.table.keys), max_size=2)):
        desk.moving[key] = key
    at = np.arange(len(desk.table.keys))
    with pytest.MonkeyPatch.context() as patch:
        made = Pool(desk, candidate, allowed, at)
        expected = [[_told(unit) for unit in made.first(n)] for n in range(len(made.places) + 1)]
        patch.setattr(pools, "MANY", 0)
        read = Pool(desk, candidate, allowed, at)
        assert (len(read), len(read.places)) == (len(made), len(made.places))
        assert [[_told(unit) for unit in read.first(n)] for n in range(len(read.places) + 1)] == expected


QUEUES = (team("a", 0), team("b", 0), team("c", 64))


def _told(unit: pools.Unit) -> tuple[object, ...]:
    return unit.key, unit.pods, unit.lost, unit.tier, unit.why, unit.bill


def test_rows_of_the_table_follow_their_workloads() -> None:
    known = KnownTable()
    running = [runs(f"w{i}", "a", [f"n{i}"], since=10 * i) for i in range(4)]
    snap = snapshot(NODES, running, queues=tree(*QUEUES))
    fleet = Fleet(snap)
    keys = tuple(sorted(snap.workloads))
    first = known.of(snap, fleet, keys)
    assert first.first_s.tolist() == [NOW_S - 10 * i for i in range(4)]
    changed = msgspec.structs.replace(running[1], priority=7)
    snap = snapshot(NODES, [running[0], changed, running[3]], queues=tree(*QUEUES))
    keys = tuple(sorted(snap.workloads))
    second = known.of(snap, fleet, keys)
    assert second.priority.tolist() == [0, 7, 0]
    assert second.first_s.tolist() == [NOW_S, NOW_S - 10, NOW_S - 30]


def test_what_may_leave_and_what_is_lost() -> None:
    (gone, stays) = (runs(name, "a", ["n0", "n1"], since=100) for name in ("g", "s"))
    leaving = tuple(msgspec.structs.replace(pod, deleting=True) for pod in gone.members[:1])
    gone = msgspec.structs.replace(gone, members=(*leaving, *gone.members[1:]))
    snap = snapshot(NODES, [gone, stays], queues=tree(*QUEUES))
    assert not can_leave(snap, gone, gone.placed)
    assert can_leave(snap, stays, stays.placed)
    assert lost_milli(stays.placed, NOW_S) == 2 * 8000 * 100
    assert not useful_to_nobody(snap.workloads[stays.key])


def useful_to_nobody(workload: Workload) -> bool:
    """Whether a claim of another queue would find nothing of use in a cluster with this workload alone."""
    snap = snapshot(NODES, [workload, asks("x", "c", 8, 8)], queues=tree(*QUEUES))
    desk = Desk(snap, Fleet(snap), opening_ledger(snap), now_s=NOW_S, settings=SETTINGS)
    candidate = candidate_of(snap.workloads[WorkloadKey("gang:team/x")])
    assert candidate is not None
    return not len(useful(desk, candidate, {QueueName("a"): Side("reclaim", 0, 99_000)}, [desk.base_bill(candidate)]))
