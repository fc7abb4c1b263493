"""Expectations of plans, judged by what reports tell: hit, tie, miss, or nothing where others came or left."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from scheduler.app import predictions
from scheduler.app.predictions import DAY_S, REASON, Predictions
from scheduler.kube.effects import OwnRef
from scheduler.model.alignment import ANYHOW, Alignment, NumaPolicy
from scheduler.model.names import NodeName
from scheduler.model.node import Allocator
from scheduler.model.plan import Admit, Assignment, Placement, Plan
from scheduler.model.workload import Pod
from scheduler.scoring.devices.machines import machine_graph
from scheduler.state.events import DevicesSeen, PodGone
from scheduler.telemetry import Telemetry
from tests.state.build import N1, Thing, event_of, node, pod, queue, report, shape, state_of

MESH = "dgx1_v100"


class Scene:
    """One node of a machine type; everything goes through the state as in the service."""

    def __init__(
        self, machine: str = MESH, more: Mapping[str, object] | None = None, alignment: Alignment = ANYHOW
    ) -> None:
        graph = machine_graph(machine)
        assert graph is not None
        self.first = replace(report(gpus=graph.size), **{"links": graph, "uid": "g", **(more or {})})
        self.state, self.telemetry, self.now_s = (
            state_of(node(gpus=graph.size, alignment=alignment), queue()),
            Telemetry(),
            DAY_S,
        )
        self.told: list[tuple[str, str, str]] = []
        self.predictions = Predictions(self.state, self.telemetry, now_s=lambda: self.now_s, tell=self._tell)
        self.see(self.first)

    def _tell(self, about: OwnRef, reason: str, note: str) -> None:
        self.told.append((about.name, reason, note))

    def see(self, *things: Thing) -> None:
        for thing in things:
            event = event_of(thing)
            self.state.apply(event)
            if isinstance(event, DevicesSeen):
                self.predictions.seen(event)
            if isinstance(event, PodGone):
                self.predictions.gone(event.uid)

    def hold(self, *, sick: tuple[int, ...] = (), **held: tuple[int, ...]) -> None:
        """The report as it is now."""
        devices = report(gpus=len(self.first.devices), sick=sick).devices
        holdings = tuple((f"a/{name}", indexes) for name, indexes in held.items())
        self.see(replace(self.first, devices=devices, held=holdings))

    def admit(self, *pods: Pod, on: NodeName = N1, bound: bool = True) -> None:
        """A plan starts these pods on the node, each a workload of its own; then they are bound."""
        self.see(*pods)
        snapshot = self.state.snapshot()
        keys = {pod.uid: key for key, workload in snapshot.workloads.items() for pod in workload.members}
        placed = [
            Admit(workload=keys[pod.uid], placement=Placement(assignments=(Assignment(pod=pod.uid, node=on),)))
            for pod in pods
        ]
        self.predictions.planned(snapshot, Plan(generation=snapshot.generation, decisions=tuple(placed)))
        if bound:
            self.see(*(replace(pod, node=on) for pod in pods))

    @property
    def counts(self) -> dict[str, int]:
        lines = self.telemetry.exposition().decode().splitlines()
        found = [line.split() for line in lines if line.startswith("bayplan_prediction_total{")]
        return {name.split('"')[1]: int(float(value)) for name, value in found}


@pytest.mark.parametrize(
    ("machine", "gpus", "got", "result"),
    [
        pytest.param("a100_pcie_x4_bridged", 4, (0, 1, 2, 3), "hit", id="all that there are"),
        pytest.param("mixed_2sxm_2pcie", 2, (0, 1), "hit", id="the one pair with NVLinks"),
        pytest.param("mixed_2sxm_2pcie", 2, (2, 3), "miss", id="the other pair"),
        pytest.param(MESH, 2, (5, 6), "tie", id="one of six pairs"),
        pytest.param(MESH, 2, (0, 4), "miss", id="a pair across the sockets"),
        pytest.param(MESH, 1, (6,), "tie", id="a single GPU may be any"),
    ],
)
def test_what_a_pod_got_is_judged_once(machine: str, gpus: int, got: tuple[int, ...], result: str) -> None:
    scene = Scene(machine)
    scene.admit(pod("p", gpus=gpus))
    scene.hold()
    assert scene.counts == {}
    scene.hold(p=got)
    scene.hold(p=got)
    assert scene.counts == {result: 1}
    assert bool(scene.told) == (result == "miss")


def test_the_topology_manager_narrows_what_is_expected() -> None:
    restricted = Alignment(policy=NumaPolicy.RESTRICTED)
    scene = Scene("l40s_x8", alignment=restricted)
    scene.see(pod("x", gpus=4, node=N1))
    scene.hold(x=(0, 4, 5, 6))
    scene.admit(pod("p", gpus=3))
    scene.hold(x=(0, 4, 5, 6), p=(1, 2, 3))
    assert scene.counts == {"hit": 1}


def test_a_miss_is_told_beside_the_report_once_a_day() -> None:
    scene = Scene("mixed_2sxm_2pcie")
    for day in (1, 1, 2):
        scene.now_s = day * DAY_S
        scene.admit(pod("p", gpus=2))
        scene.hold(p=(0, 2))
        scene.see(PodGone(uid=pod("p").uid))
        scene.hold()
    assert scene.counts == {"miss": 3}
    said = "a/p got the GPUs 0,2; expected of the device plugin was one of 1 sets: 0,1"
    assert scene.told == [("n1", REASON, said)] * 2


def test_pods_of_one_plan_come_in_any_order() -> None:
    for got in ({"p": (0, 3), "q": (1, 2)}, {"q": (4, 7), "p": (5, 6)}):
        scene = Scene()
        scene.admit(pod("p", gpus=2), pod("q", gpus=2))
        scene.hold(**got)
        assert scene.counts == {"tie": 2}


def test_what_others_hold_counts_and_what_they_are_expected_to() -> None:
    scene = Scene("a100_pcie_x4_bridged")
    scene.see(pod("x", gpus=1, node=N1))
    # Nobody told what x has: the pair is the other one, whichever that is.
    scene.admit(pod("p", gpus=2))
    scene.hold(x=(0,), p=(2, 3))
    assert scene.counts == {"tie": 1}
    scene = Scene("a100_pcie_x4_bridged")
    scene.see(pod("x", gpus=1, node=N1))
    scene.hold(x=(0,))
    scene.admit(pod("p", gpus=2))
    scene.hold(x=(0,), p=(2, 3))
    assert scene.counts == {"hit": 1}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"stranger": (2, 3), "x": (4,)}, id="somebody came"),
        pytest.param({}, id="somebody left"),
        pytest.param({"x": (4,), "sick": (5,)}, id="a GPU fell ill"),
    ],
)
def test_what_cannot_be_judged_is_not_counted(change: dict[str, tuple[int, ...]]) -> None:
    scene = Scene()
    scene.see(pod("x", gpus=1, node=N1))
    scene.hold(x=(4,))
    scene.admit(pod("p", gpus=2))
    scene.hold(p=(0, 1), **change)
    assert scene.counts == {}


def test_containers_are_expected_one_after_the_other() -> None:
    scene = Scene("a100_pcie_x4_bridged")
    scene.admit(replace(pod("p", gpus=2), shape=shape(2, gpu_steps=(1, 1))))
    scene.hold(p=(0, 2))
    assert scene.counts == {"tie": 1}


@pytest.mark.parametrize("more", [{"allocator": Allocator.DRA}, {"mig_on_demand": True}, {"links": None}])
def test_nothing_is_expected_where_the_plugin_does_not_choose_by_links(more: dict[str, object]) -> None:
    scene = Scene(more=more)
    scene.admit(pod("p", gpus=2))
    scene.hold(p=(0, 4))
    assert scene.counts == {}


def test_claims_are_exact_and_so_not_predicted() -> None:
    scene = Scene("mixed_2sxm_2pcie")
    scene.admit(replace(pod("p", gpus=2), shape=shape(2, by_claim=True)))
    scene.hold(p=(0, 2))
    assert scene.counts == {}


def test_only_so_many_expectations_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "MOST", 2)
    scene = Scene(MESH)
    scene.admit(*(pod(name, gpus=2) for name in "pqrs"))
    scene.hold(p=(0, 3), q=(1, 2), r=(4, 7), s=(5, 6))
    assert scene.counts == {"tie": 2}


def test_pods_that_go_before_they_are_told_of_are_forgotten() -> None:
    scene = Scene("mixed_2sxm_2pcie")
    scene.admit(pod("p", gpus=2))
    scene.see(PodGone(uid=pod("p").uid))
    scene.admit(pod("q", gpus=2))
    scene.predictions.forget(NodeName("n1"))
    scene.hold(q=(0, 1))
    assert scene.counts == {"hit": 1}


def test_a_plan_that_was_given_up_is_forgotten_once_there_is_another_elsewhere() -> None:
    scene = Scene("mixed_2sxm_2pcie")
    elsewhere = NodeName("n2")
    other = replace(scene.first, node=elsewhere)
    scene.see(node("n2", gpus=4), other)
    scene.admit(pod("p", gpus=2), bound=False)
    scene.admit(pod("p", gpus=2), on=elsewhere)
    scene.see(replace(other, held=(("a/p", (0, 1)),)), PodGone(uid=pod("p").uid), other)
    # The first node tells of itself again.
    scene.hold(q=(0,))
    assert scene.counts == {"hit": 1}
