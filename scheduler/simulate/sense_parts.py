"""Whether what a scenario says of MIG instances, slices and parts of GPUs can be."""

from collections.abc import Iterator

from scheduler.model.mig import MigModel
from scheduler.model.node import MigInstance
from scheduler.model.resources import MILLI_GPU, Resources, extended
from scheduler.model.workload import PodShape
from scheduler.scoring.rules.mig import broken_layout
from scheduler.scoring.sharing.mig_tables import mig_model, mig_models
from scheduler.simulate.document import NodeDoc, PodsDoc, ScenarioDoc, node_names
from scheduler.simulate.kubelet import Kubelet
from scheduler.simulate.refusal import Refused


def contradictions_in_parts(doc: ScenarioDoc) -> Iterator[Refused]:
    """All of them; each step may rely on what the steps before it found to be right."""
    for at, node in enumerate(doc.nodes):
        if node.divides:
            yield from _of_node(f"nodes[{at}].mig", node)
    for at, workload in enumerate(doc.workloads):
        for index, group in enumerate(workload.pods):
            yield from _of_pods(f"workloads[{at}].pods[{index}]", group)
    yield from _room_for_running(doc)


def _of_node(where: str, node: NodeDoc) -> Iterator[Refused]:
    model = mig_model(node.model)
    if model is None:
        known = ", ".join(sorted(mig_models()))
        yield Refused(where=where, why=f"the model {node.model!r} cannot be divided; allowed: {known}")
        return
    for number, one in enumerate(node.instances):
        if one.device >= node.gpus:
            why = f"device {one.device} of a node with {node.gpus} GPUs; the first is 0"
            yield Refused(where=f"{where}[{number}].device", why=why)
        if model.index(one.profile) is None:
            yield Refused(where=f"{where}[{number}].profile", why=_unknown(one.profile, model))
    for device in sorted({one.device for one in node.instances}):
        own = [one for one in node.instances if one.device == device]
        made = [MigInstance(device=device, profile=one.profile, start=one.start) for one in own]
        for why in broken_layout(node.model, made):
            yield Refused(where=where, why=f"device {device}: {why}")


def _unknown(profile: str, model: MigModel) -> str:
    return f"{profile!r}; allowed: {', '.join(p.name for p in model.profiles)}"


def _of_pods(here: str, group: PodsDoc) -> Iterator[Refused]:
    if group.mig is not None:
        if group.share_milli < MILLI_GPU:
            yield Refused(where=f"{here}.share", why=f"{group.share:g} beside mig; a slice is had whole")
        if all(model.index(group.mig) is None for model in mig_models().values()):
            known = sorted({profile.name for model in mig_models().values() for profile in model.profiles})
            yield Refused(where=f"{here}.mig", why=f"{group.mig!r}; allowed: {', '.join(known)}")
    elif group.share_milli < MILLI_GPU and not group.gpus:
        yield Refused(where=f"{here}.share", why=f"{group.share:g} of 0 gpus; say of how many with gpus")


def _room_for_running(doc: ScenarioDoc) -> Iterator[Refused]:
    """Running pods may not have more of a node's GPUs than can be given out together, in the order of the file."""
    kubelets = {name: Kubelet(name, node, shares=doc.shares) for node in doc.nodes for name in node_names(node)}
    for at, workload in enumerate(doc.workloads):
        number = 0
        for index, group in enumerate(workload.pods):
            shape = PodShape(requests=Resources(extended=extended(group.amounts)), share_milli=group.share_milli)
            for name in group.nodes or ():
                number += 1
                if name is not None and kubelets[name].give(f"{workload.name}-{number}", shape) is None:
                    what = f"{group.mig} slices" if group.mig is not None else "GPUs or parts of them"
                    where = f"workloads[{at}].pods[{index}].nodes"
                    yield Refused(where=where, why=f"more {what} than {name} can give beside what runs there")
