"""Gangs that can do with fewer pods start with these, and grow when there is room."""

import pytest

from scheduler.localcluster.fleet import Fleet, Group
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import GATE, gates, job, noted, template

pytestmark = pytest.mark.cluster


def told(lab: Lab, prefix: str) -> set[tuple[str, str] | None]:
    """What those of these pods were told that have no node."""
    return {lab.told(p["metadata"]["name"]) for p in lab.pods(prefix) if not p["spec"].get("nodeName")}


def test_an_elastic_gang_starts_with_what_it_needs_and_grows_when_a_node_comes(lab: Lab) -> None:
    lab.h100(2)
    lab.start_service()
    made = noted(template(gpus=8, gang="elastic"), {"bayplan.dev/gang-min": "2"})
    lab.create(job("elastic", made, pods=4))
    first = lab.bound_whole("elastic-", 2)
    said = ("RunsWithFewer", "runs with 2 of 4 pods; grows when there is room")
    lab.eventually("the others are told", lambda: told(lab, "elastic-") == {said})
    lab.check()
    assert all(gates(p) == [GATE] for p in lab.pods("elastic-") if not p["spec"].get("nodeName"))
    lab.cluster.add_nodes(Fleet(groups=(Group(name="late", count=1, machine="hgx_h100"),)))
    grown = lab.bound_whole("elastic-", 3)
    assert first.items() <= grown.items()
    said = ("RunsWithFewer", "runs with 3 of 4 pods; grows when there is room")
    lab.eventually("the last is told", lambda: told(lab, "elastic-") == {said})
    lab.check()
