"""Gangs start whole or not at all."""

import pytest

from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import gang_job

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster-1")]


def test_of_two_gangs_with_room_for_one_never_a_pod_of_the_second_is_bound(lab: Lab) -> None:
    lab.h100(2)
    lab.start_service()
    lab.create(gang_job("first", pods=2, gpus=8))
    lab.bound_whole("first-", 2)
    lab.create(gang_job("second", pods=2, gpus=8))
    lab.seen("second-", 2)
    lab.settle()
    assert [s for s in lab.watch.history() if s.name.startswith("second-") and s.node] == []
    lab.check()
    lab.delete_job("first")
    lab.bound_whole("second-", 2)
    lab.check()
