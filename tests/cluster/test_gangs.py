"""Gangs start whole or not at all, however their pods are made."""

import pytest

from scheduler.localcluster.fleet import Group
from tests.cluster.harness.lab import PASSING_REFUSALS, Lab
from tests.cluster.harness.objects import GANG, GATE, asking, gang_job, gang_pods, gates, job, noted, pod, template

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("nominate", ["always", "never"])
def test_of_two_gangs_with_room_for_one_never_a_pod_of_the_second_is_bound(lab: Lab, nominate: str) -> None:
    lab.h100(2)
    lab.start_service(nominate=nominate)
    lab.create(gang_job("first", pods=2, gpus=8))
    lab.bound_whole("first-", 2)
    lab.create(gang_job("second", pods=2, gpus=8))
    lab.eventually("the second is told why", lambda: all(lab.told(p["metadata"]["name"]) for p in lab.pods("second-")))
    lab.check()
    assert [s.name for s in lab.watch.history() if s.name.startswith("second-") and s.node] == []
    lab.delete_job("first")
    lab.bound_whole("second-", 2)
    lab.check()


def test_of_two_gangs_that_come_at_once_one_starts_whole(lab: Lab) -> None:
    lab.h100(2)
    lab.start_service()
    lab.create(*(p for pair in zip(gang_pods("a", pods=2), gang_pods("b", pods=2), strict=True) for p in pair))
    lab.eventually("one gang stands", lambda: len(lab.bound()) == 2)
    lab.check()
    stands = {s.name.partition("-")[0] for s in lab.watch.history() if s.node}
    assert len(stands) == 1
    loser = "b" if stands == {"a"} else "a"
    for i in range(2):
        lab.delete_pod(f"{'a' if loser == 'b' else 'b'}-{i}")
    lab.bound_whole(f"{loser}-", 2)
    lab.check()


def test_every_pod_of_a_gang_is_bound_within_two_seconds_of_the_first(lab: Lab) -> None:
    lab.h100(4)
    lab.start_service()
    lab.create(gang_job("train", pods=16, gpus=2))
    lab.bound_whole("train-", 16)
    first: dict[str, float] = {}
    for sighting in lab.watch.history():
        if sighting.node:
            first.setdefault(sighting.name, sighting.at_s)
    assert max(first.values()) - min(first.values()) <= 2.0
    lab.check()


def test_a_gang_is_held_until_its_last_pod_exists(lab: Lab) -> None:
    lab.h100(3)
    lab.start_service()
    *early, last = gang_pods("slow", pods=3)
    lab.create(*early)
    lab.eventually("they are told", lambda: lab.told("slow-0") and lab.told("slow-1"))
    lab.check()
    assert [lab.told(name) for name in ("slow-0", "slow-1")] == [lab.told("slow-0")] * 2
    assert (lab.told("slow-0") or ("",))[0] == "GangIncomplete"
    assert lab.bound() == {}
    lab.create(last)
    lab.bound_whole("slow-", 3)
    lab.check()


def test_an_indexed_job_marked_on_the_job_alone_is_a_gang(lab: Lab) -> None:
    lab.h100(2)
    lab.start_service()
    lab.create(noted(job("big", template(gpus=8), pods=3), labels={GANG: "big"}))
    lab.seen("big-", 3)
    lab.eventually("all are told", lambda: all(lab.told(p["metadata"]["name"]) for p in lab.pods("big-")))
    lab.check()
    assert lab.bound() == {}
    lab.delete_job("big")
    lab.create(noted(job("fits", template(gpus=8), pods=2), labels={GANG: "fits"}))
    lab.bound_whole("fits-", 2)
    lab.check()


def test_a_launcher_without_gpus_waits_for_its_workers_and_starts_with_them(lab: Lab) -> None:
    lab.h100(2)
    lab.start_service()
    lab.create(pod("in-the-way", gpus=1))
    lab.bound_whole("in-the-way", 1)
    lab.create(job("launcher", template(gang="mpi", size=3)))
    lab.create(job("worker", template(gpus=8, gang="mpi", size=3), pods=2))
    lab.eventually("the launcher is told", lambda: lab.pods("launcher-") and lab.told(_only(lab, "launcher-")))
    lab.check()
    assert gates(lab.pods("launcher-")[0]) == [GATE]
    assert set(lab.bound()) == {"in-the-way"}
    lab.delete_pod("in-the-way")
    lab.bound_whole("worker-", 2)
    lab.bound_whole("launcher-", 1)
    lab.check()


def _only(lab: Lab, prefix: str) -> str:
    (found,) = lab.pods(prefix)
    return str(found["metadata"]["name"])


def test_mig_slices_are_planned_and_never_double_booked(lab: Lab) -> None:
    lab.nodes(Group(name="mig", count=1, machine="dgx_a100", mig={"1g.10gb": 3}))
    lab.start_service()
    slices = [asking(pod(f"slice-{i}"), {"nvidia.com/mig-1g.10gb": "1"}) for i in range(5)]
    lab.create(*slices)
    lab.bound_whole("slice-", 3)
    lab.check()
    assert len(lab.bound("slice-")) == 3
    lab.delete_pod(next(iter(lab.bound("slice-"))))
    lab.bound_whole("slice-", 3)
    lab.check()


def test_pods_without_gpus_and_gang_pass_untouched(lab: Lab) -> None:
    lab.h100(1)
    replica = lab.start_service()
    lab.create(pod("plain"))
    lab.bound_whole("plain", 1)
    assert all(gates(s.pod) == [] for s in lab.watch.history() if s.name == "plain")
    assert lab.told("plain") is None
    assert replica.metric("bayplan_extender_rulings_total", ruling="untouched") > 0
    lab.check()


def test_a_lost_member_comes_back_and_the_others_stay(lab: Lab) -> None:
    lab.h100(3)
    lab.start_service()
    lab.create(gang_job("gang", pods=3, gpus=8))
    lab.bound_whole("gang-", 3)
    lost, *others = lab.pods("gang-")
    lab.delete_pod(lost["metadata"]["name"])
    lab.eventually("three stand again", lambda: len(lab.bound("gang-")) == 3 and lost not in lab.pods("gang-"))
    lab.check()
    assert {p["metadata"]["uid"] for p in others} <= {p["metadata"]["uid"] for p in lab.pods("gang-")}


def test_gpus_of_a_pod_that_leaves_slowly_are_not_given_away_before_it_is_gone(lab: Lab) -> None:
    lab.h100(1)
    replica = lab.start_service()
    before = replica.metric("bayplan_extender_rulings_total", verb="filter", ruling="refused")
    slow = noted(pod("slow", gpus=8, terminationGracePeriodSeconds=30), {"bayplan.dev/simulated-shutdown": "3s"})
    lab.create(slow)
    lab.bound_whole("slow", 1)
    lab.create(pod("next", gpus=8))
    lab.api.delete("/api/v1/namespaces/default/pods/slow")
    lab.bound_whole("next", 1)
    lab.check()
    order = [s.name for s in lab.watch.history() if s.kind == "DELETED" or (s.name == "next" and s.node)]
    assert order[0] == "slow"
    assert (
        replica.metric("bayplan_extender_rulings_total", verb="filter", ruling="refused") - before <= PASSING_REFUSALS
    )
