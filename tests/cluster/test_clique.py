"""The NVLink clique that exporters report is planned by, on nodes that have no label for it."""

import pytest

from scheduler.localcluster.fleet import Group
from scheduler.model.node import CLIQUE_LABEL
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import gang_pods, noted

pytestmark = pytest.mark.cluster


def test_a_gang_that_requires_one_clique_starts_where_exporters_report_it(lab: Lab) -> None:
    trays = lab.nodes(
        Group(name="tray", count=2, machine="gb200_tray"), Group(name="h100", count=2, machine="hgx_h100")
    )[:2]
    fabrics = [lab.api.get(f"/apis/bayplan.dev/v1alpha1/gpunodes/{name}")["status"]["fabric"] for name in trays]
    assert {(one["state"], one["cliqueId"]) for one in fabrics} == {("Completed", "2")}
    assert CLIQUE_LABEL not in lab.api.get(f"/api/v1/nodes/{trays[0]}")["metadata"]["labels"]
    lab.start_service()
    within = {"bayplan.dev/topology-required": CLIQUE_LABEL}
    lab.create(*(noted(one, within) for one in gang_pods("train", pods=2, gpus=4)))
    assert set(lab.bound_whole("train-", 2).values()) == set(trays)
    lab.create(*(noted(one, within) for one in gang_pods("more", pods=2, gpus=4)))
    lab.eventually("it is told why", lambda: lab.told("more-0"))
    assert (lab.told("more-0") or ("",))[0] == "TopologyUnsatisfied"
    lab.check()
