"""Checks what a simulation answered against its scenario, from the documents and the links of machine types alone."""

from collections.abc import Iterator
from typing import Any

from scheduler.scoring.machines import machine_types

Doc = dict[str, Any]


def wrong(doc: Doc, answer: Doc) -> list[str]:
    """Everything in `answer` that breaks a rule of the format or an expectation of `doc`."""
    return [
        *_pods_are_those_of_the_file(doc, answer),
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
        workload, group, at_start = groups[name]
        if pod["workload"] != workload["name"]:
            yield f"{name} is said to be of {pod['workload']}"
        if (pod["state"] == "running") != (pod["node"] is not None):
            yield f"{name} is {pod['state']} on {pod['node']}"
        if pod["node"] is None:
            continue
        node = nodes(doc)[pod["node"]]
        if len(set(pod["devices"])) != group.get("gpus", 0):
            yield f"{name} has the devices {pod['devices']}"
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
        for amount, nothing in (("gpus", 0), ("cpu", 1e9), ("memoryGiB", 1e9)):
            asked = sum(group.get(amount, 0) for group in here.values())
            if asked > node.get(amount, nothing):
                yield f"{name} holds {asked} {amount}"
        devices = [d for p in here for d in answer["pods"][p]["devices"]]
        if len(devices) != len(set(devices)):
            yield f"{name}: a device has two holders: {sorted(devices)}"


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
    for queue in doc.get("queues", []):
        name, said = queue["name"], answer["queues"][queue["name"]]
        running = (groups[p] for p, pod in answer["pods"].items() if pod["node"] is not None)
        used = sum(group.get("gpus", 0) for workload, group, _ in running if workload.get("queue") == name)
        if said["used"] != used:
            yield f"queue {name} uses {used}, said to use {said['used']}"
        if said["borrowed"] != max(0, used - queue.get("nominal", 0)):
            yield f"queue {name} is said to borrow {said['borrowed']}"
        limit = queue.get("borrowingLimit")
        if limit is not None and used > queue.get("nominal", 0) + limit:
            yield f"queue {name} uses {used} of {queue.get('nominal', 0)} + {limit}"


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
