"""Checks what a simulation answered against its scenario, from the documents and the links of machine types alone."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from scheduler.scoring.devices.machines import machine_types
from scheduler.scoring.sharing.mig_tables import mig_model

Doc = dict[str, Any]


def wrong(doc: Doc, answer: Doc) -> list[str]:
    """Everything in `answer` that breaks a rule of the format or an expectation of `doc`."""
    return [
        *_pods_are_those_of_the_file(doc, answer),
        *_pods_have_what_they_ask_for(doc, answer),
        *_nodes_hold_what_they_can(doc, answer),
        *_linked_gpus_are_linked(doc, answer),
        *_workloads_stand_by_their_rules(doc, answer),
        *_queues_keep_their_limits(doc, answer),
        *(_expected(doc, answer) if "expect" in doc else ()),
        *answer["violations"],
    ]


def groups_by_pod(doc: Doc) -> dict[str, tuple[Doc, Doc, str | None]]:
    """Each pod's workload, its pod group, and where it runs at the start."""
    found: dict[str, tuple[Doc, Doc, str | None]] = {}
    for workload in doc["workloads"]:
        flat = [(g, k) for g in workload["pods"] for k in range(g.get("count", 1))]
        for index, (group, k) in enumerate(flat):
            found[f"{workload['name']}-{index}"] = (workload, group, group["nodes"][k] if group.get("nodes") else None)
    return found


def nodes(doc: Doc) -> dict[str, Doc]:
    found: dict[str, Doc] = {}
    for node in doc["nodes"]:
        many = node.get("count", 1)
        found |= {node["name"] if many == 1 else f"{node['name']}-{i}": node for i in range(many)}
    return found


def places(answer: Doc, workload: str) -> list[str]:
    return [p["node"] for p in answer["pods"].values() if p["workload"] == workload and p["node"] is not None]


def least(workload: Doc) -> int:
    everyone = sum(g.get("count", 1) for g in workload["pods"])
    return workload.get("minMember", everyone if workload.get("gang") else 1)


def _pods_are_those_of_the_file(doc: Doc, answer: Doc) -> Iterator[str]:
    groups = groups_by_pod(doc)
    if set(answer["pods"]) != set(groups):
        yield f"other pods than in the file: {sorted(set(answer['pods']) ^ set(groups))}"
    for name, pod in answer["pods"].items():
        workload, _, _ = groups[name]
        if pod["workload"] != workload["name"]:
            yield f"{name} is said to be of {pod['workload']}"
        if (pod["state"] == "running") != (pod["node"] is not None):
            yield f"{name} is {pod['state']} on {pod['node']}"


def _pods_have_what_they_ask_for(doc: Doc, answer: Doc) -> Iterator[str]:
    groups = groups_by_pod(doc)
    for name, pod in answer["pods"].items():
        _, group, at_start = groups[name]
        if pod["node"] is None:
            continue
        node = nodes(doc)[pod["node"]]
        slices = _slices_asked(group)
        if len(set(pod["devices"])) != (0 if slices else group.get("gpus", 0)):
            yield f"{name} has the devices {pod['devices']}"
        if [one["profile"] for one in pod.get("mig", [])] != [group.get("mig")] * slices:
            yield f"{name} has the slices {pod.get('mig')}"
        if at_start is None and {one["device"] for one in pod.get("mig", [])} & set(node.get("unhealthy", [])):
            yield f"{name} got a slice of a broken device of {pod['node']}: {pod['mig']}"
        if not set(pod["devices"]) <= set(range(node.get("gpus", 0))):
            yield f"{name} has devices that its node has not: {pod['devices']}"
        if at_start is None and set(pod["devices"]) & set(node.get("unhealthy", [])):
            yield f"{name} got a broken device of {pod['node']}: {pod['devices']}"
        accepted = group.get("model")
        if accepted and node.get("model") not in ([accepted] if isinstance(accepted, str) else accepted):
            yield f"{name} on a {node.get('model')}"


def _nodes_hold_what_they_can(doc: Doc, answer: Doc) -> Iterator[str]:
    groups = groups_by_pod(doc)
    for name, node in nodes(doc).items():
        here = {p: groups[p][1] for p, pod in answer["pods"].items() if pod["node"] == name}
        for amount in ("cpu", "memoryGiB"):
            asked = sum(group.get(amount, 0) for group in here.values())
            if asked > node.get(amount, 1e9):
                yield f"{name} holds {asked} {amount}"
        milli: Counter[int] = Counter()
        units: Counter[tuple[int, int]] = Counter()
        for p, group in here.items():
            milli.update({device: _share_milli(group) for device in answer["pods"][p]["devices"]})
            for one in answer["pods"][p].get("mig", []):
                size = _units(node["model"], one["profile"])
                units.update((one["device"], unit) for unit in range(one["start"], one["start"] + size))
        if any(n > 1000 for n in milli.values()) or any(n > 1 for n in units.values()):
            yield f"{name}: a device is given out twice: {milli}, {units}"
        if set(milli) & {device for device, _ in units}:
            yield f"{name}: a device is given out in slices and otherwise: {milli}, {units}"


def _slices_asked(group: Doc) -> int:
    """How many slices a pod asks for; 0 where it asks for GPUs or parts of them."""
    return max(group.get("gpus", 0), 1) if group.get("mig") else 0


def _share_milli(group: Doc) -> int:
    return round(1000 * group.get("share", 1))


def _units(model: str, profile: str) -> int:
    """Places on a GPU that a slice takes."""
    table = mig_model(model)
    assert table is not None
    return next(each.size for each in table.profiles if each.name == profile)


def _charge(group: Doc) -> float:
    """GPUs of quota that a pod takes."""
    if slices := _slices_asked(group):
        return slices * (1000 * int(group["mig"].partition("g.")[0]) // 7) / 1000
    return group.get("gpus", 0) * _share_milli(group) / 1000


def _linked_gpus_are_linked(doc: Doc, answer: Doc) -> Iterator[str]:
    """Each GPU of a pod that has to be linked is reached from its first one by NVLinks among its GPUs."""
    for name, (workload, _, at_start) in groups_by_pod(doc).items():
        node, devices = answer["pods"][name]["node"], answer["pods"][name]["devices"]
        if workload.get("linked") != "required" or node is None or at_start is not None or not devices:
            continue
        machine = nodes(doc)[node].get("machine")
        if machine is None:
            continue
        links = machine_types()[machine].nvlinks
        reached: set[int] = {devices[0]}
        left: set[int] = set(devices[1:])
        while near := {b for b in left if any(links[a][b] for a in reached)}:
            reached |= near
            left -= near
        if left:
            yield f"{name} on {node}: no NVLink leads to {sorted(left)} from {sorted(reached)}"


def _workloads_stand_by_their_rules(doc: Doc, answer: Doc) -> Iterator[str]:
    groups = groups_by_pod(doc)
    labels = {level["name"]: level["label"] for level in doc.get("topology", [])}
    for workload in doc["workloads"]:
        name, said = workload["name"], answer["workloads"][workload["name"]]
        where = places(answer, name)
        everyone = sum(w is workload for w, _, _ in groups.values())
        state = "pending" if not where else "running" if len(where) >= least(workload) else "partial"
        if said["state"] != state:
            yield f"{name} is {state}, said to be {said['state']}"
        if state == "partial":
            yield f"{name} is torn: {len(where)} of {least(workload)} pods stand"
        if (said["reason"] is not None) != (len(where) < everyone):
            yield f"{name}: {len(where)} of {everyone} pods run, the reason to wait is {said['reason']!r}"
        if bool(said["blocking"]) and said["reason"] is None:
            yield f"{name} waits for nothing, yet is blocked by {said['blocking']}"
        level = workload.get("topology", {}).get("required")
        if level is not None and len(set(_domains(doc, where, labels.get(level)))) > 1:
            yield f"{name} is spread over the {level}s {sorted(set(_domains(doc, where, labels.get(level))))}"


def _domains(doc: Doc, where: list[str], label: str | None) -> list[str]:
    return where if label is None else [str(nodes(doc)[n].get("labels", {}).get(label)) for n in where]


def _queues_keep_their_limits(doc: Doc, answer: Doc) -> Iterator[str]:
    groups = groups_by_pod(doc)
    queues = {queue["name"]: queue for queue in doc.get("queues", [])}
    for name, queue in queues.items():
        said, below, nominal = answer["queues"][name], _below(queues, name), _nominal(queues, name)
        running = [groups[p] for p, pod in answer["pods"].items() if pod["node"] is not None]
        used = round(sum(_charge(group) for workload, group, _ in running if workload.get("queue") in below), 3)
        if said["used"] != used:
            yield f"queue {name} uses {used}, said to use {said['used']}"
        if said["borrowed"] != round(max(0, used - nominal), 3):
            yield f"queue {name} is said to borrow {said['borrowed']}"
        limit = queue.get("borrowingLimit")
        if limit is not None and used > nominal + limit:
            yield f"queue {name} uses {used} of {nominal} + {limit}"
        firm = (g for w, g, _ in running if w.get("queue") in below and not w.get("preemptible", True))
        if (firmly := sum(map(_charge, firm))) > nominal:
            yield f"queue {name} has {firmly} GPUs of work that is not preemptible, and owns {nominal}"


def _below(queues: Doc, name: str) -> list[str]:
    """The queue and all below it."""
    return [name, *(q for other in queues if queues[other].get("parent") == name for q in _below(queues, other))]


def _nominal(queues: Doc, name: str) -> float:
    """What a queue owns; where that is left out, what those below it own, or its flavors."""
    if "nominal" in queues[name]:
        return queues[name]["nominal"]
    below = [other for other in queues if queues[other].get("parent") == name]
    own = [] if below else [flavor.get("nominal", 0) for flavor in queues[name].get("flavors", {}).values()]
    return sum([*own, *(_nominal(queues, other) for other in below)])


def _expected(doc: Doc, answer: Doc) -> Iterator[str]:
    expect = doc["expect"]
    states = {name: said["state"] for name, said in answer["workloads"].items()}
    named = {name: state for state in ("running", "pending") for name in expect.get(state, [])}
    if states != named:
        yield f"the workloads are {states}, expected {named}"
    evicted = {name for name, said in answer["workloads"].items() if said["evictions"]}
    if "evicted" in expect and evicted != set(expect["evicted"]):
        yield f"evicted {sorted(evicted)}, expected {expect['evicted']}"
    if expect.get("stable", answer["stable"]) != answer["stable"]:
        yield f"stable: {answer['stable']}"
    yield from _expected_places(doc, answer)


def _expected_places(doc: Doc, answer: Doc) -> Iterator[str]:
    expect = doc.get("expect", {})
    labels = {level["name"]: level["label"] for level in doc.get("topology", [])}
    for name, count in expect.get("podsRunning", {}).items():
        if len(places(answer, name)) != count:
            yield f"{len(places(answer, name))} pods of {name} run, expected {count}"
    for name, allowed in expect.get("onNodes", {}).items():
        if not set(places(answer, name)) <= set(allowed):
            yield f"{name} on {places(answer, name)}, expected {allowed}"
    for name, level in expect.get("sameDomain", {}).items():
        if len(set(_domains(doc, places(answer, name), labels[level]))) != 1:
            yield f"{name} is not in one {level}"
