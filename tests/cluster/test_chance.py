"""Arrivals, departures and losses in random order: after each step everything that must hold does."""

import pytest

from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import gang_pods, queue
from tests.cluster.harness.story import GROUPS, Story

pytestmark = pytest.mark.cluster

STEPS = 50
QUEUES = {"red": 16, "blue": 24}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_fifty_random_arrivals_departures_and_losses(lab: Lab, seed: int) -> None:
    lab.nodes(*GROUPS)
    lab.api.delete("/apis/bayplan.dev/v1alpha1/queues/plenty")
    lab.create(*(queue(name, nominal=gpus) for name, gpus in QUEUES.items()))
    lab.start_service()
    story = Story(lab, seed, QUEUES)
    try:
        for _ in range(STEPS):
            story.step()
            lab.check()
    except AssertionError as err:
        err.add_note("\n".join(story.told))
        raise
    assert any(s.node for s in lab.watch.history())
    story.everything_leaves()
    lab.nodes(*GROUPS)
    lab.create(*gang_pods("last-red", pods=2, queue="red"), *gang_pods("last-blue", pods=3, queue="blue"))
    lab.bound_whole("last-", len(GROUPS))
    lab.check()
