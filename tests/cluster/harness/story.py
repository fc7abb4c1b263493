"""A seeded series of things that happen to a cluster: work comes and goes, nodes are lost, strangers arrive."""

import random
from collections.abc import Mapping

from scheduler.localcluster.fleet import Fleet, Group
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import foreign_pod, gang_pods, pod

GROUPS = [Group(name=letter, count=1, machine="hgx_h100") for letter in "abcde"]
"""One node each, so that each can come back by itself."""


class Story:
    """A seeded series of steps, each of which may find nothing to do; `told` is what happened, for people."""

    def __init__(self, lab: Lab, seed: int, queues: Mapping[str, int]) -> None:
        """`queues`: the nominal quota of each, in GPUs."""
        self.lab = lab
        self.queues = dict(queues)
        self.dice = random.Random(seed)  # noqa: S311  a story, no secret
        self.told: list[str] = []
        self._made = 0
        self._gone: list[str] = []
        self._cordoned: list[str] = []
        self.steps = [
            *[self.gang_arrives] * 4,
            *[self.pod_arrives] * 2,
            *[self.workload_leaves] * 4,
            self.pod_succeeds,
            self.member_is_lost,
            self.node_is_lost,
            self.node_comes_back,
            self.node_is_cordoned_or_not_any_more,
            self.stranger_comes,
        ]

    def step(self) -> None:
        self.told.append(self.dice.choice(self.steps)())

    def name(self) -> str:
        self._made += 1
        return f"w{self._made}"

    def gang_arrives(self) -> str:
        name, size = self.name(), self.dice.randint(2, 4)
        gpus, team = self.dice.choice([1, 2, 4, 8]), self.dice.choice(list(self.queues))
        pods = gang_pods(name, pods=size, gpus=gpus, queue=team)
        self.dice.shuffle(pods)
        self.lab.create(*pods)
        return f"gang {name} of {size} x {gpus} GPUs arrives for {team}"

    def pod_arrives(self) -> str:
        name, gpus, team = self.name(), self.dice.randint(1, 8), self.dice.choice(list(self.queues))
        self.lab.create(pod(f"{name}-0", gpus=gpus, queue=team))
        return f"pod {name} of {gpus} GPUs arrives for {team}"

    def delete(self, name: str) -> None:
        """Delete a pod, as people or controllers do."""
        self.lab.delete_pod(name)

    def pods(self) -> list[str]:
        return [p["metadata"]["name"] for p in self.lab.pods()]

    def workload_leaves(self) -> str:
        names = sorted({name.partition("-")[0] for name in self.pods()})
        if not names:
            return "nobody is there to leave"
        chosen = self.dice.choice(names)
        for name in self.pods():
            if name.partition("-")[0] == chosen:
                self.delete(name)
        return f"{chosen} leaves"

    def everything_leaves(self) -> None:
        for name in self.pods():
            self.delete(name)
        self.lab.eventually("all pods are gone", lambda: self.pods() == [])

    def pod_succeeds(self) -> str:
        names = sorted(self.lab.bound())
        if not names:
            return "nobody is there to succeed"
        chosen = self.dice.choice(names)
        self.lab.api.merge(f"/api/v1/namespaces/default/pods/{chosen}/status", {"status": {"phase": "Succeeded"}})
        return f"{chosen} succeeds"

    def member_is_lost(self) -> str:
        if not self.pods():
            return "nobody is there to be lost"
        chosen = self.dice.choice(self.pods())
        self.delete(chosen)
        return f"{chosen} is lost"

    def _nodes(self) -> list[str]:
        return [name for group in GROUPS if (name := f"{group.name}-0") not in self._gone]

    def node_is_lost(self) -> str:
        if len(self._nodes()) <= 2:
            return "too few nodes are left to lose one"
        chosen = self.dice.choice(self._nodes())
        self._gone.append(chosen)
        self.lab.delete_node(chosen)
        # As the pod garbage collector does within a minute.
        for name, node in self.lab.bound().items():
            if node == chosen:
                self.delete(name)
        return f"{chosen} is lost, with its pods"

    def node_comes_back(self) -> str:
        if not self._gone:
            return "no node is missing"
        chosen = self._gone.pop(self.dice.randrange(len(self._gone)))
        self._cordoned = [name for name in self._cordoned if name != chosen]
        self.lab.cluster.add_nodes(Fleet(groups=[group for group in GROUPS if chosen == f"{group.name}-0"]))
        return f"{chosen} comes back"

    def node_is_cordoned_or_not_any_more(self) -> str:
        chosen = self.dice.choice(self._nodes())
        on = chosen not in self._cordoned
        self._cordoned = [*self._cordoned, chosen] if on else [name for name in self._cordoned if name != chosen]
        self.lab.cordon(chosen, on=on)
        return f"{chosen} is {'cordoned' if on else 'uncordoned'}"

    def stranger_comes(self) -> str:
        name, node, gpus = self.name(), self.dice.choice(self._nodes()), self.dice.choice([2, 4, 8])
        self.lab.create(foreign_pod(f"{name}-0", node=node, gpus=gpus))
        return f"stranger {name} of {gpus} GPUs comes to {node}"
