"""Rules that only kube-scheduler can judge: offers, refusals, and plans made elsewhere."""

import pytest

from scheduler.localcluster.api import Json
from scheduler.localcluster.fleet import Group, NodeTaint
from tests.cluster.harness.lab import PASSING_REFUSALS, Lab
from tests.cluster.harness.objects import asking, foreign_pod, gang_pods, noted, pod
from tests.cluster.harness.replica import Replica

pytestmark = pytest.mark.cluster

HOST = "kubernetes.io/hostname"


def apart_from(app: str) -> Json:
    """No other pod of this app on the same node."""
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": HOST}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def spread(app: str) -> list[Json]:
    """At most one pod of this app more on a node than on another."""
    selector = {"matchLabels": {"app": app}}
    return [{"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]


def refusals(replica: Replica) -> float:
    """How often kube-scheduler's own filters would not take a planned node."""
    return replica.metric("bayplan_extender_rulings_total", verb="filter", ruling="refused")


def test_pods_that_must_stand_apart_are_offered_nodes_and_do(lab: Lab) -> None:
    lab.h100(3)
    replica = lab.start_service()
    lab.create(*(noted(pod(f"db-{i}", gpus=1, affinity=apart_from("db")), labels={"app": "db"}) for i in range(4)))
    lab.bound_whole("db-", 3)
    lab.check()
    stands = lab.bound("db-")
    assert len(set(stands.values())) == 3
    assert replica.metric("bayplan_plans_total", status="offer") > 0
    lab.delete_pod(next(iter(stands)))
    lab.bound_whole("db-", 3)
    lab.check()


def test_pods_that_must_spread_are_offered_nodes_and_do(lab: Lab) -> None:
    lab.h100(2)
    lab.start_service()
    lab.create(
        *(
            noted(pod(f"web-{i}", gpus=1, topologySpreadConstraints=spread("web")), labels={"app": "web"})
            for i in range(6)
        )
    )
    nodes = list(lab.bound_whole("web-", 6).values())
    assert sorted(nodes.count(node) for node in set(nodes)) == [3, 3]
    lab.check()


def test_an_offered_pod_goes_to_the_node_that_scores_best(lab: Lab) -> None:
    lab.h100(3)
    lab.start_service()
    lab.create(foreign_pod("half", node="h100-2", gpus=6))
    lab.bound_whole("half", 1)
    lab.create(noted(pod("db-0", gpus=2, affinity=apart_from("db")), labels={"app": "db"}))
    assert lab.bound_whole("db-", 1) == {"db-0": "h100-2"}
    lab.check()


def test_a_gang_whose_members_must_stand_apart_is_planned_elsewhere_until_it_stands(lab: Lab) -> None:
    lab.h100(4)
    lab.start_service()
    # Whom kube-scheduler keeps the gang away from, on the node that packing would choose first.
    lab.create(noted(foreign_pod("loner", node="h100-0", gpus=1), labels={"app": "gang"}))
    lab.bound_whole("loner", 1)
    members = gang_pods("gang", pods=2, gpus=7)
    for member in members:
        member["spec"]["affinity"] = apart_from("gang")
        member["metadata"]["labels"]["app"] = "gang"
    lab.create(*members)
    stands = lab.bound_whole("gang-", 2, 60.0)
    assert len(set(stands.values())) == 2
    assert "h100-0" not in stands.values()
    lab.check()


def test_a_gang_that_kube_scheduler_never_takes_is_told_so_and_not_retried_for_ever(lab: Lab) -> None:
    lab.h100(2)
    replica = lab.start_service(arrivalTimeoutS=5.0)
    members = gang_pods("gang", pods=2, gpus=1)
    for member in members:
        member["spec"]["affinity"] = {
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": {"app": "nobody"}}, "topologyKey": HOST}
                ]
            }
        }
    lab.create(*members, pod("fine", gpus=1))
    lab.bound_whole("fine", 1)
    lab.eventually("it is told", lambda: (lab.told("gang-0") or ("",))[0] == "NodeRefused", 90.0)
    lab.check()
    before = replica.metric("bayplan_plans_total", status="optimal")
    lab.measure(10.0)
    assert replica.metric("bayplan_plans_total", status="optimal") - before <= 2
    assert lab.bound("gang-") == {}


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([asking(pod(f"p-{i}", gpus=1), {"cpu": "90"}) for i in range(5)], id="CPU is short"),
        pytest.param([asking(pod(f"p-{i}", gpus=1), {"memory": "900Gi"}) for i in range(5)], id="memory is short"),
        pytest.param(
            [asking(pod(f"p-{i}", gpus=1), {"ephemeral-storage": "700Gi"}) for i in range(5)], id="disk is short"
        ),
    ],
)
def test_what_is_short_beside_gpus_is_counted_as_kube_scheduler_counts_it(lab: Lab, pods: list[Json]) -> None:
    lab.h100(2)
    replica = lab.start_service()
    before = refusals(replica)
    lab.create(*pods)
    lab.eventually("somebody waits", lambda: any(lab.told(p["metadata"]["name"]) for p in pods))
    lab.check()
    stands = lab.bound("p-")
    assert 0 < len(stands) < 5
    waits = [lab.told(name) for p in pods if (name := p["metadata"]["name"]) not in stands]
    assert {told[0] if told else None for told in waits} == {"InsufficientResources"}
    assert refusals(replica) - before <= PASSING_REFUSALS


def test_selectors_taints_and_tolerations_lead_a_gang_to_the_nodes_it_may_use(lab: Lab) -> None:
    taint = NodeTaint(key="team", value="vision")
    lab.nodes(
        Group(name="free", count=2, machine="hgx_h100"),
        Group(name="kept", count=2, machine="hgx_h100", taints=[taint], labels={"pool": "vision"}),
    )
    replica = lab.start_service()
    before = refusals(replica)
    tolerated = [{"key": "team", "operator": "Equal", "value": "vision", "effect": "NoSchedule"}]
    members = gang_pods("vision", pods=2)
    for member in members:
        member["spec"] |= {"tolerations": tolerated, "nodeSelector": {"pool": "vision"}}
    lab.create(*members, *gang_pods("other", pods=2))
    assert set(lab.bound_whole("vision-", 2).values()) == {"kept-0", "kept-1"}
    assert set(lab.bound_whole("other-", 2).values()) == {"free-0", "free-1"}
    assert refusals(replica) - before <= PASSING_REFUSALS
    lab.check()


def test_a_pod_with_a_gate_of_somebody_else_waits_for_it_and_then_starts(lab: Lab) -> None:
    lab.h100(2)
    lab.start_service()
    members = gang_pods("gang", pods=2)
    members[0]["spec"]["schedulingGates"] = [{"name": "example.com/data"}]
    lab.create(*members)
    lab.eventually("it is told", lambda: (lab.told("gang-1") or ("",))[0] == "GatedByOthers")
    lab.check()
    assert lab.bound() == {}
    lab.api.call(
        "PATCH",
        "/api/v1/namespaces/default/pods/gang-0",
        {"spec": {"schedulingGates": [{"$patch": "delete", "name": "example.com/data"}]}},
        content="application/strategic-merge-patch+json",
    )
    lab.bound_whole("gang-", 2)
    lab.check()
