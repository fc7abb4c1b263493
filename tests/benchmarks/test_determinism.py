"""The benchmark of determinism: its clusters have everything in them, and it finds what it looks for."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import pytest

from benchmarks import determinism
from benchmarks.determinism import planned, run
from benchmarks.random_input import events
from scheduler.model.plan import Admit, Plan, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked
from scheduler.planning.cycle import plan


@pytest.mark.long
def test_equal_input_gives_equal_plans() -> None:
    rows = run(quick=True)
    assert [(row.value, row.verdict) for row in rows] == [(0, "ok")] * 3


def test_the_same_number_gives_the_same_cluster() -> None:
    assert [events(seed) for seed in range(5)] == [events(seed) for seed in range(5)]
    assert planned(3)[0].nodes == planned(3, order=1)[0].nodes


def test_shuffling_changes_orders_and_nothing_else() -> None:
    plain, mixed = planned(3)[0], planned(3, order=1)[0]
    for name in ("nodes", "workloads", "queues", "pod_nodes", "in_flight", "devices_used"):
        assert getattr(plain, name) == getattr(mixed, name)
    assert list(plain.nodes) != list(mixed.nodes)
    assert list(plain.workloads) != list(mixed.workloads)
    assert (plain.columns.used == mixed.columns.used).all()


ORDERS = """
from benchmarks.determinism import planned
for seed in range(3, 8):
    snapshot = planned(seed)[0]
    print(*(list(getattr(snapshot, name)) for name in ("nodes", "workloads", "pod_nodes", "devices_used")))
"""


@pytest.mark.long
def test_orders_of_a_snapshot_are_no_matter_of_how_python_hashes_names() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", ORDERS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


@pytest.mark.long
def test_clusters_have_everything_in_them() -> None:
    seen: Counter[str] = Counter()
    for seed in range(100):
        snapshot, made = planned(seed)
        seen.update(type(d).__name__ for d in made.decisions)
        seen.update(d.reason.value for d in made.decisions if isinstance(d, Wait))
        seen.update(d.placement.proof.status for d in made.decisions if isinstance(d, Admit))
        seen.update(_traits(snapshot))
        placed = [a for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments]
        seen.update("given in parts" for a in placed if a.slices)
    wanted = ["Admit", "Offer", "Wait", "RollBack", "optimal", "slices", "linked", "links", "in flight", "avoid"]
    wanted += ["slices of GPUs", "parts of GPUs", "given in parts", "policies", "exclusive", "roles"]
    wanted += ["found levels", "TopologyUnsatisfied", "Fragmented", "QuotaExhausted", "GangIncomplete"]
    assert [name for name in wanted if not seen[name]] == []


def _traits(snapshot: Snapshot) -> Sequence[str]:
    workloads = snapshot.workloads.values()
    there = {
        "slices": any(w.topology_slices for w in workloads),
        "linked": any(p.shape.linked is Linked.REQUIRED for w in workloads for p in w.members),
        "links": any(node.links is not None for node in snapshot.nodes.values()),
        "in flight": bool(snapshot.in_flight),
        "avoid": any(w.avoid for w in workloads),
        "found levels": snapshot.topology_found,
        "slices of GPUs": any(p.shape.requests.mig_slices for w in workloads for p in w.members),
        "parts of GPUs": any(p.shape.requests.shared_gpus for w in workloads for p in w.members),
        "policies": any(p.policy for w in workloads for p in w.members),
        "exclusive": any(w.topology_exclusive for w in workloads),
        "roles": any(p.role_required for w in workloads for p in w.members),
    }
    return [name for name, is_there in there.items() if is_there]


@pytest.mark.long
def test_plans_that_depend_on_the_order_of_the_input_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_order(snapshot: Snapshot, *, now_s: int, settings: determinism.PlanSettings) -> Plan:
        made = plan(snapshot, now_s=now_s, settings=settings)
        turn = {key: at for at, key in enumerate(snapshot.workloads)}
        return Plan(generation=1, decisions=tuple(sorted(made.decisions, key=lambda d: turn[d.workload])))

    monkeypatch.setattr(determinism, "plan", by_order)
    differing, hashed, broken = run(quick=True)
    assert differing.verdict == "over"
    assert differing.note.startswith("clusters ")
    # The other processes plan as always.
    assert hashed.verdict == "over"
    assert broken.value == 0


@pytest.mark.long
def test_plans_that_break_rules_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(snapshot: Snapshot, *, now_s: int, settings: determinism.PlanSettings) -> Plan:
        made = plan(snapshot, now_s=now_s, settings=settings)
        return Plan(generation=7, decisions=made.decisions)

    monkeypatch.setattr(determinism, "plan", nowhere)
    assert run(quick=True)[2].verdict == "over"


def test_digests_are_printed_for_other_processes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert determinism.main(["--digests", "--clusters", "2"]) == 0
    made = [determinism.digest(planned(seed)[1]) for seed in range(2)]
    assert capfdbinary.readouterr().out == f'["{made[0]}","{made[1]}"]'.encode()
