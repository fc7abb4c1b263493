"""Whether the parts of a scenario agree with each other: names that exist, running pods that have room."""

from collections import Counter
from collections.abc import Iterable, Iterator

from scheduler.model.node import NODE_LEVEL
from scheduler.model.policy import POLICY_NAMES, policy_named
from scheduler.model.queue import CPU, MEMORY
from scheduler.model.resources import MILLI_GPU
from scheduler.scoring.devices.machines import machine_graph, machine_types
from scheduler.simulate.document import MOST, NodeDoc, ScenarioDoc, WorkloadDoc, node_names
from scheduler.simulate.refusal import Refused
from scheduler.simulate.sense_parts import contradictions_in_parts
from scheduler.simulate.sense_roles import contradictions_in_roles


def contradiction(doc: ScenarioDoc) -> Refused | None:
    """The first thing in `doc` that cannot be, or None."""
    return next(_contradictions(doc), None)


def _contradictions(doc: ScenarioDoc) -> Iterator[Refused]:
    """All of them; each step may rely on what the steps before it found to be right."""
    yield from _sizes(doc)
    yield from _names(doc)
    yield from _nodes(doc)
    yield from _queues(doc)
    yield from _policies(doc)
    yield from _workloads(doc)
    yield from _room_for_running(doc)
    yield from contradictions_in_parts(doc)
    yield from contradictions_in_roles(doc)


def _sizes(doc: ScenarioDoc) -> Iterator[Refused]:
    for where, total in (
        ("nodes", sum(n.count for n in doc.nodes)),
        ("workloads", sum(w.total for w in doc.workloads)),
    ):
        if total > MOST:
            yield Refused(where=where, why=f"{total} nodes or pods; at most {MOST} are simulated")


def _names(doc: ScenarioDoc) -> Iterator[Refused]:
    levels = [level.name for level in doc.topology]
    yield from _twice("topology", [*levels, NODE_LEVEL.name])
    yield from _twice("queues", [q.name for q in doc.queues])
    yield from _twice("workloads", [w.name for w in doc.workloads])
    yield from _twice("nodes", [name for n in doc.nodes for name in node_names(n)])


def _policies(doc: ScenarioDoc) -> Iterator[Refused]:
    places = [(f"queues[{at}]", queue.policy) for at, queue in enumerate(doc.queues)]
    places += [(f"workloads[{at}]", workload.policy) for at, workload in enumerate(doc.workloads)]
    for where, name in places:
        if name is not None and policy_named(name) is None:
            yield Refused(where=f"{where}.policy", why=f"{name!r}; allowed: {POLICY_NAMES}")


def _twice(where: str, names: Iterable[str]) -> Iterator[Refused]:
    for name, times in Counter(names).items():
        if times > 1:
            yield Refused(where=where, why=f"the name {name!r} is given {times} times")


def _nodes(doc: ScenarioDoc) -> Iterator[Refused]:
    for at, node in enumerate(doc.nodes):
        for key, listed in (("unhealthy", node.unhealthy), ("suspect", node.suspect)):
            for index in listed:
                if index >= node.gpus:
                    why = f"device {index} of a node with {node.gpus} GPUs; the first is 0"
                    yield Refused(where=f"nodes[{at}].{key}", why=why)
        if node.machine is not None:
            graph = machine_graph(node.machine)
            where = f"nodes[{at}].machine"
            if graph is None:
                yield Refused(where=where, why=f"{node.machine!r}; allowed: {', '.join(machine_types())}")
            elif graph.size < node.gpus:
                yield Refused(where=where, why=f"{node.machine!r} has {graph.size} GPUs, the node {node.gpus}")


def _queues(doc: ScenarioDoc) -> Iterator[Refused]:
    parents = {q.name: q.parent for q in doc.queues}
    for at, queue in enumerate(doc.queues):
        for name, key in ((CPU, "cpu"), (MEMORY, "memoryGiB")):
            if name in queue.flavors:
                why = f"{name!r} is no GPU model or MIG profile; write queues[{at}].{key}"
                yield Refused(where=f"queues[{at}].flavors", why=why)
        if queue.parent is None:
            continue
        if queue.parent not in parents:
            yield Refused(where=f"queues[{at}].parent", why=f"there is no queue {queue.parent!r}")
            return
        way = [queue.name]
        while (above := parents.get(way[-1])) is not None and above not in way:
            way.append(above)
        if above is not None:
            circle = " > ".join([*way, above])
            yield Refused(where=f"queues[{at}].parent", why=f"{queue.parent!r} leads in a circle: {circle}")
            return


def _workloads(doc: ScenarioDoc) -> Iterator[Refused]:
    levels = [*(level.name for level in doc.topology), NODE_LEVEL.name]
    known = {name for n in doc.nodes for name in node_names(n)}
    for at, workload in enumerate(doc.workloads):
        here = f"workloads[{at}]"
        for wish in ("required", "preferred"):
            level = getattr(workload.topology, wish)
            if level is not None and level not in levels:
                yield Refused(where=f"{here}.topology.{wish}", why=f"{level!r}; allowed: {', '.join(levels)}")
        for index, group in enumerate(workload.pods):
            divided = group.mig is not None or group.share_milli < MILLI_GPU
            if workload.linked == "required" and divided and group.gpus > 1:
                why = f"'required', and MIG slices and parts of GPUs (pods[{index}]) are never connected by NVLink"
                yield Refused(where=f"{here}.linked", why=why)
            there = f"{here}.pods[{index}].nodes"
            if group.nodes is not None and len(group.nodes) != group.count:
                why = f"{len(group.nodes)} nodes for {group.count} pods; give one for each, null where it is pending"
                yield Refused(where=there, why=why)
            for name in group.nodes or ():
                if name is not None and name not in known:
                    yield Refused(where=there, why=f"there is no node {name!r}")
        yield from _times(here, workload)


def _times(here: str, workload: WorkloadDoc) -> Iterator[Refused]:
    for when in ("started", "checkpointed"):
        if getattr(workload, when) is not None and not any(any(group.nodes or ()) for group in workload.pods):
            yield Refused(where=f"{here}.{when}", why="none of its pods has a node")


def _room_for_running(doc: ScenarioDoc) -> Iterator[Refused]:
    """Running pods may not hold more than their node has, nor a GPU of another model than they accept."""
    spec: dict[str, NodeDoc] = {name: n for n in doc.nodes for name in node_names(n)}
    held: dict[tuple[str, str], float] = {}
    for at, workload in enumerate(doc.workloads):
        for index, group in enumerate(workload.pods):
            where = f"workloads[{at}].pods[{index}].nodes"
            # Slices, and parts on single GPUs, are judged by themselves.
            gpus = 0 if group.mig is not None else group.gpus * group.share_milli / MILLI_GPU
            amounts = {"GPUs": gpus, "cores": group.cpu, "GiB of memory": group.memory_gib}
            for name in group.nodes or ():
                if name is None:
                    continue
                node = spec[name]
                has = {"GPUs": node.gpus, "cores": node.cpu, "GiB of memory": node.memory_gib}
                for unit, amount in amounts.items():
                    held[name, unit] = held.get((name, unit), 0) + amount
                    limit = has[unit]
                    if limit is not None and held[name, unit] > limit:
                        yield Refused(where=where, why=f"more than the {limit:g} {unit} of {name}")
                if group.models and node.model not in group.models:
                    why = f"{name} has {node.model or 'no model'}, not {' or '.join(group.models)}"
                    yield Refused(where=where, why=why)
