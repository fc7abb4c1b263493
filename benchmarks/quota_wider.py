"""Cases with more in them: strict order, CPU, memory and users that are limited, and gangs of several roles."""

from random import Random
from typing import Any

import msgspec

from benchmarks.quota_cases import MODELS, QUEUES, TREES
from scheduler.simulate.document import ScenarioDoc

FROM = 1_000_000
"""The number of the first such case; those below are plain (`quota_cases`)."""

USERS = ("", "ann", "bob")


def wide_case(seed: int) -> ScenarioDoc:
    """The case of this number: one to three nodes, at most eight workloads, fifty rounds."""
    chance = Random(seed)
    gpus = chance.choice([4, 8])
    mixed = chance.random() < 0.25
    nodes = [
        {"name": f"n{i}", "gpus": gpus, "model": MODELS[i % 2 if mixed else 0], "labels": {"rack": f"r{i // 2}"}}
        for i in range(chance.randint(1, 3))
    ]
    cpu, memory, users = chance.random() < 0.5, chance.random() < 0.3, chance.random() < 0.3
    free = {str(node["name"]): gpus for node in nodes}
    models = {str(node["name"]): str(node["model"]) for node in nodes}
    work = [
        _workload(chance, f"w{i}", free, models, more=(cpu, memory, users), mixed=mixed)
        for i in range(chance.randint(2, 8))
    ]
    doc = {
        "name": f"case {seed}",
        "rounds": 50,
        "topology": [{"name": "rack", "label": "rack"}],
        "nodes": nodes,
        "queues": _queues(chance, mixed=mixed, cpu=cpu, memory=memory, users=users),
        "workloads": work,
    }
    return msgspec.convert(doc, ScenarioDoc)


def _queues(chance: Random, *, mixed: bool, cpu: bool, memory: bool, users: bool) -> list[dict[str, Any]]:
    above = chance.choice(TREES)
    made: list[dict[str, Any]] = []
    for name in (*sorted(set(above.values())), *QUEUES):
        inner = name not in QUEUES
        queue: dict[str, Any] = {"name": name, "order": chance.choice(["Fair", "Fair", "Fair", "StrictFIFO"])}
        if not inner or chance.random() < 0.3:
            queue |= {"nominal": chance.choice([4, 8, 16] if inner else [0, 2, 4, 4, 8])}
        queue |= _limits(chance, 0.2, [0, 2, 4])
        if not inner:
            queue |= {"weight": chance.choice([1, 1, 3]), "priority": chance.choice([0, 0, 5])}
            queue["minRuntime"] = chance.choice([0, 0, 0, 100])
        if cpu and chance.random() < 0.5:
            queue["cpu"] = {"nominal": chance.choice([0, 4, 8, 16]), **_limits(chance, 0.4, [0, 4])}
        if memory and chance.random() < 0.5:
            queue["memoryGiB"] = {"nominal": chance.choice([0, 16, 32]), **_limits(chance, 0.4, [0, 16])}
        if users and chance.random() < 0.5:
            queue["userLimit"] = chance.choice([2, 4])
        if mixed and not inner and chance.random() < 0.5:
            queue["flavors"] = {
                m: {"nominal": chance.choice([0, 2, 4]), **_limits(chance, 0.3, [0, 2])} for m in MODELS
            }
        made.append({**queue, "parent": above[name]} if name in above else queue)
    return made


def _limits(chance: Random, often: float, amounts: list[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in ("borrowingLimit", "lendingLimit"):
        if chance.random() < often:
            found[name] = chance.choice(amounts)
    return found


def _workload(
    chance: Random,
    name: str,
    free: dict[str, int],
    models: dict[str, str],
    *,
    more: tuple[bool, bool, bool],
    mixed: bool,
) -> dict[str, Any]:
    """One workload; of the running ones, each pod takes what is left of `free`."""
    cpu, memory, users = more
    made: dict[str, Any] = {
        "name": name,
        "queue": chance.choice(QUEUES),
        "priority": chance.choice([0, 0, 0, 10]),
        "submitted": chance.randint(-1700, 0),
        "preemptible": chance.random() < 0.9,
    }
    if users and (user := chance.choice(USERS)):
        made["user"] = user
    roles = chance.random() < 0.25
    groups: list[dict[str, Any]] = [{"count": 1 if roles else chance.choice([1, 1, 1, 2, 3]), "gpus": 1}]
    groups[0]["gpus"] = chance.choice([1, 1, 2, 4])
    if roles:
        groups.append({"count": chance.choice([1, 2, 2]), "gpus": chance.choice([1, 2]), "role": "worker"})
        groups[0] |= {"role": "leader", "minMember": 1}
        groups[1]["minMember"] = chance.randint(1, groups[1]["count"])
        if chance.random() < 0.3:
            made["topology"] = {"required": "rack"}
    elif groups[0]["count"] > 1:
        made |= chance.choice([{"gang": True}, {"minMember": 1}, {"minMember": 2}])
    model = chance.choice(MODELS)
    for group in groups:
        if cpu:
            group["cpu"] = chance.choice([0, 1, 2, 4])
        if memory:
            group["memoryGiB"] = chance.choice([0, 4, 8])
        if mixed:
            group["model"] = model
    if chance.random() < 0.6 and _stand(chance, groups, free, models, model if mixed else ""):
        made["started"] = chance.choice([chance.randint(-20, -1), chance.randint(-1000, -200)])
        made.pop("topology", None)
    return {**made, "pods": groups}


def _stand(
    chance: Random, groups: list[dict[str, Any]], free: dict[str, int], models: dict[str, str], model: str
) -> bool:
    """Give each pod of the groups a node; nothing is given where there is too little room."""
    left = dict(free)
    places: list[list[str]] = []
    for group in groups:
        names: list[str] = []
        for _ in range(group["count"]):
            room = [n for n in left if left[n] >= group["gpus"] and (not model or models[n] == model)]
            if not room:
                return False
            name = chance.choice(room)
            left[name] -= group["gpus"]
            names.append(name)
        places.append(names)
    for group, names in zip(groups, places, strict=True):
        group["nodes"] = names
    free.update(left)
    return True
