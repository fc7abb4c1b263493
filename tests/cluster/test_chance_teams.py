"""Teams that lend and take back in random order, while quota changes and the service dies: no promise is broken."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from scheduler.localcluster.api import Json
from tests.cluster.harness.lab import PODS, QUEUES, Lab
from tests.cluster.harness.objects import condition, gang_pods, noted, queue
from tests.cluster.harness.story import GROUPS, Story

pytestmark = pytest.mark.cluster

STEPS = 40
TEAMS = {"red": 16, "blue": 16, "green": 0}
CLASSES = ("bayplan-low", "bayplan-normal", "bayplan-high")


class TeamsStory(Story):
    """The same where queues borrow from each other without limit: work is evicted, and gangs may be elastic."""

    def __init__(self, lab: Lab, seed: int) -> None:
        super().__init__(lab, seed, TEAMS)
        self.ours: set[str] = set()
        """Pods that the story deleted, by uid."""
        self.steps += [
            *[self.gang_arrives] * 3,
            *[self.elastic_gang_arrives] * 3,
            self.quota_changes,
            self.quota_changes,
            self.work_is_saved,
            self.service_dies,
        ]

    def delete(self, name: str) -> None:
        self.ours.update(p["metadata"]["uid"] for p in self.lab.pods(name) if p["metadata"]["name"] == name)
        super().delete(name)

    def gang_arrives(self) -> str:
        name, size, gpus = self.name(), self.dice.randint(1, 4), self.dice.choice([2, 4, 8])
        team, priority = self.dice.choice(list(self.queues)), self.dice.choice(CLASSES)
        pods = gang_pods(name, pods=size, gpus=gpus, queue=team)
        for each in pods:
            each["spec"]["priorityClassName"] = priority
        self.lab.create(*pods)
        return f"gang {name} of {size} x {gpus} GPUs and {priority} arrives for {team}"

    def elastic_gang_arrives(self) -> str:
        name, size, gpus = self.name(), self.dice.randint(2, 5), self.dice.choice([2, 4, 8])
        least, team = self.dice.randint(1, size), self.dice.choice(list(self.queues))
        pods = gang_pods(name, pods=size, gpus=gpus, queue=team)
        self.lab.create(*(noted(each, {"bayplan.dev/gang-min": str(least)}) for each in pods))
        return f"gang {name} of {least} to {size} x {gpus} GPUs arrives for {team}"

    def quota_changes(self) -> str:
        team, gpus = self.dice.choice(list(self.queues)), self.dice.choice([0, 8, 16, 24])
        self.lab.api.merge(f"{QUEUES}/{team}", {"spec": {"nominal": gpus}})
        return f"{team} has {gpus} GPUs of its own from now on"

    def work_is_saved(self) -> str:
        names = sorted(self.lab.bound())
        if not names:
            return "nobody has work to save"
        chosen, now = self.dice.choice(names), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.lab.api.merge(f"{PODS}/{chosen}", {"metadata": {"annotations": {"bayplan.dev/checkpointed-at": now}}})
        return f"{chosen} saves its work"

    def service_dies(self) -> str:
        self.lab.replicas[0].kill()
        self.lab.end_services()
        self.lab.start_service()
        return "the service is killed and started again"

    def left_untold(self) -> Sequence[str]:
        """Pods that were taken away by somebody else, without a word on them or in an event before."""
        gone = [s.pod for s in self.lab.watch.history() if s.kind == "DELETED"]
        taken = [pod for pod in gone if pod["metadata"]["uid"] not in self.ours]
        return [pod["metadata"]["name"] for pod in taken if not self._told(pod)]

    def _told(self, pod: Json) -> bool:
        mark = condition(pod, "bayplan.dev/MakesWay")
        if mark is not None and mark["status"] == "True":
            return True
        name = str(pod["metadata"]["name"])
        return any(event["reason"] == "RolledBack" for event in self.lab.events(name))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forty_random_steps_of_teams_that_lend_and_take_back(lab: Lab, seed: int) -> None:
    lab.nodes(*GROUPS)
    lab.api.delete(f"{QUEUES}/plenty")
    lab.create(*(queue(name, nominal=gpus, borrowing=None) for name, gpus in TEAMS.items()))
    lab.start_service()
    story = TeamsStory(lab, seed)
    try:
        for _ in range(STEPS):
            story.step()
            lab.check()
            assert story.left_untold() == []
    except AssertionError as err:
        err.add_note("\n".join(story.told))
        raise
    story.everything_leaves()
    lab.nodes(*GROUPS)
    for name, gpus in {"red": 0, "blue": 8, "green": 32}.items():
        lab.api.merge(f"{QUEUES}/{name}", {"spec": {"nominal": gpus}})
    lab.create(*gang_pods("guest-red", pods=3, queue="red"), *gang_pods("guest-blue", pods=2, queue="blue"))
    lab.bound_whole("guest-", len(GROUPS))
    lab.create(*gang_pods("owner", pods=4, queue="green"))
    lab.bound_whole("owner-", 4)
    lab.check()
