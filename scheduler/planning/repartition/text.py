"""Proposals in people's words."""

from collections import Counter

from scheduler.model.names import people_name
from scheduler.planning.reasons.wording import shortened
from scheduler.planning.repartition.proposal import GpuLayout, Proposal

SHOWN = 5


def summary(proposal: Proposal) -> str:
    """What waits, and what the proposal does about it."""
    if not proposal.waiting:
        return "Nothing waits for MIG slices or GPUs that other layouts could give."
    waits = f"{_pods(proposal.waiting)} wait{'s' if proposal.waiting == 1 else ''} for slices or GPUs that are not free"
    served = sum(each.pods for each in proposal.served)
    gpus = sum(len(node.changes) for node in proposal.nodes)
    if not served:
        sure = " (proven)" if proposal.proof.status == "optimal" else ""
        return f"{waits}; no other layout of the GPUs that may be divided anew gives any of them room{sure}."
    if not gpus:
        return f"{waits}; {served} of them find room as GPUs are divided now, so that something else keeps them."
    who = "it" if proposal.waiting == served == 1 else "all of them" if proposal.waiting == served else f"{served}"
    nodes = len(proposal.nodes)
    return (
        f"{waits}. Dividing {gpus} GPU{'' if gpus == 1 else 's'} on {nodes} node{'' if nodes == 1 else 's'} anew gives "
        f"{who} room{_proof(proposal)}."
    )


def costs(proposal: Proposal) -> list[str]:
    """What is lost, who has to go, what starts, and what is left out."""
    lines: list[str] = []
    if proposal.lost:
        one = proposal.lost == 1
        lost = (
            f"{proposal.lost} free {'slice or GPU of another size is' if one else 'slices or GPUs of other sizes are'}"
        )
        lines.append(f"{lost} no more then.")
    if proposal.moved:
        one = proposal.moved == 1
        leaving = sorted({pod for node in proposal.nodes for change in node.changes for pod in change.leaving})
        lines.append(
            f"{proposal.moved} slice{' is' if one else 's are'} in use and ha{'s' if one else 've'} to be given back "
            f"first, by {_some(leaving)}; there is room for {'it' if one else 'them'} afterwards."
        )
    elif proposal.nodes:
        names = [people_name(key) for key in proposal.starts]
        promised = {each.workload for each in proposal.served}
        late = sorted(people_name(key) for key in promised - set(proposal.starts))
        if names:
            lines.append(f"The planner would start {_some(names)} then.")
        if late:
            lines.append(f"Other rules keep {_some(late)} from starting even then; `bayplan explain` tells which.")
    return [*lines, *(f"Left out {note}." for note in proposal.notes)]


def layout_text(gpu: GpuLayout) -> str:
    """`2x 3g.40gb, 1x 1g.10gb`, or `whole`."""
    if not gpu.divided:
        return "whole"
    counts = Counter(one.profile for one in gpu.instances)
    return ", ".join(f"{n}x {profile}" for profile, n in sorted(counts.items(), reverse=True)) or "no slices"


def in_use(gpu: GpuLayout) -> int:
    """How many of its instances pods hold."""
    return sum(one.in_use for one in gpu.instances)


def _proof(proposal: Proposal) -> str:
    served_all = sum(each.pods for each in proposal.served) == proposal.waiting
    if served_all:
        return ""
    return "; no layout serves more (proven)" if proposal.proof.status == "optimal" else "; more may be possible"


def _pods(count: int) -> str:
    return f"{count} pod{'' if count == 1 else 's'}"


def _some(names: list[str]) -> str:
    return shortened(names, SHOWN, "{} more")
