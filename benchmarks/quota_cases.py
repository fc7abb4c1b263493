"""Random small clusters with a tree of queues, running work and work that waits; the same number, the same case."""

from random import Random
from typing import Any

import msgspec

from scheduler.simulate.document import ScenarioDoc

QUEUES = ("a", "b", "c", "d")

TREES: tuple[dict[str, str], ...] = (
    {},
    dict.fromkeys(QUEUES, "org"),
    {"a": "east", "b": "east", "c": "west", "d": "west", "east": "org", "west": "org"},
    {"a": "east", "b": "east", "c": "org", "east": "org"},
)
"""Which queue stands below which; four teams, up to three levels."""

MODELS = ("H100", "A100")


def case(seed: int) -> ScenarioDoc:
    """The case of this number: one to four nodes, at most ten workloads, fifty rounds."""
    chance = Random(seed)
    gpus = chance.choice([4, 8])
    mixed = chance.random() < 0.25
    nodes = [
        {
            "name": f"n{i}",
            "gpus": gpus,
            "model": MODELS[i % 2] if mixed else MODELS[0],
            "labels": {"rack": f"r{i // 2}"},
        }
        for i in range(chance.randint(1, 4))
    ]
    free = {str(node["name"]): gpus for node in nodes}
    models = {str(node["name"]): str(node["model"]) for node in nodes}
    work = [_workload(chance, f"w{i}", free, models, mixed=mixed) for i in range(chance.randint(2, 10))]
    doc = {
        "name": f"case {seed}",
        "rounds": 50,
        "topology": [{"name": "rack", "label": "rack"}],
        "nodes": nodes,
        "queues": _queues(chance, mixed=mixed),
        "workloads": work,
    }
    return msgspec.convert(doc, ScenarioDoc)


def _queues(chance: Random, *, mixed: bool) -> list[dict[str, Any]]:
    above = chance.choice(TREES)
    made: list[dict[str, Any]] = []
    for name in sorted(set(above.values())):
        given = {"nominal": chance.choice([4, 8, 16])} if chance.random() < 0.3 else {}
        made.append({"name": name, **given, **_limits(chance, 0.15)})
    for name in QUEUES:
        queue: dict[str, Any] = {
            "name": name,
            "nominal": chance.choice([0, 2, 4, 4, 8]),
            "weight": chance.choice([1, 1, 1, 3]),
            "priority": chance.choice([0, 0, 0, 5]),
            "minRuntime": chance.choice([0, 0, 0, 100]),
            **_limits(chance, 0.25),
        }
        if mixed and chance.random() < 0.5:
            queue["flavors"] = {
                model: {"nominal": chance.choice([0, 2, 4]), **_limits(chance, 0.3)} for model in MODELS
            }
        made.append(queue)
    return [{**queue, "parent": above[queue["name"]]} if queue["name"] in above else queue for queue in made]


def _limits(chance: Random, often: float) -> dict[str, int]:
    found: dict[str, int] = {}
    if chance.random() < often:
        found["borrowingLimit"] = chance.choice([0, 2, 4])
    if chance.random() < often:
        found["lendingLimit"] = chance.choice([0, 2])
    return found


def _workload(
    chance: Random, name: str, free: dict[str, int], models: dict[str, str], *, mixed: bool
) -> dict[str, Any]:
    """One workload; of the running ones, each pod takes what is left of `free`.

    Gangs name a model where there are several: the planner looks for quota of one model for a whole gang.
    """
    gpus, pods = chance.choice([1, 1, 2, 4]), chance.choice([1, 1, 1, 2, 3])
    made: dict[str, Any] = {
        "name": name,
        "queue": chance.choice(QUEUES),
        "priority": chance.choice([0, 0, 0, 10]),
        "submitted": chance.randint(-1700, 0),
        "preemptible": chance.random() < 0.9,
    }
    group: dict[str, Any] = {"count": pods, "gpus": gpus}
    if mixed and (pods > 1 or chance.random() < 0.5):
        group["model"] = chance.choice(MODELS)
    if pods > 1:
        made |= chance.choice([{"gang": True}, {"gang": True}, {"minMember": 1}])
        if "gang" in made and chance.random() < 0.3:
            made["topology"] = {"required": "rack"}
    if chance.random() < 0.6:
        suits = [n for n in free if group.get("model", models[n]) == models[n]]
        places = _places(chance, suits, free, gpus, pods, models)
        if places:
            group["nodes"] = places
            made["started"] = chance.choice([chance.randint(-20, -1), chance.randint(-1000, -200)])
            made.pop("topology", None)
    return {**made, "pods": [group]}


def _places(
    chance: Random, suits: list[str], free: dict[str, int], gpus: int, pods: int, models: dict[str, str]
) -> list[str]:
    """A node for each pod, all of one GPU model; nothing where there is too little room."""
    left, names = dict(free), list[str]()
    for _ in range(pods):
        room = [n for n in suits if left[n] >= gpus and (not names or models[n] == models[names[0]])]
        if not room:
            return []
        name = chance.choice(room)
        left[name] -= gpus
        names.append(name)
    free.update(left)
    return names
