"""Decisions in people's words: what a workload waits for, the smallest set of things in its way, what would help."""

from typing import assert_never

import msgspec

from scheduler.model.names import people_name
from scheduler.model.plan import (
    Admit,
    Blocker,
    Decision,
    Offer,
    Plan,
    Proof,
    Reason,
    Reclaim,
    Ring,
    RollBack,
    Victim,
    Wait,
)
from scheduler.model.workload import Workload
from scheduler.planning.reasons.wording import amount, counted, gpus, listed, pods
from scheduler.planning.reserve.text import reserved_line


def explain(decision: Decision) -> list[str]:
    """Lines for people, the most important first."""
    name = people_name(decision.workload)
    match decision:
        case Admit():
            return _admitted(name, decision)
        case Offer():
            if not decision.nodes:
                return [f"{name} is offered no node."]
            best = decision.nodes[0][0]
            return [f"{name} may start on any of {len(decision.nodes)} nodes, best on {best}; kube-scheduler chooses."]
        case RollBack():
            return [f"{name} is taken back to wait whole: {decision.why}."]
        case Reclaim():
            return _claiming(name, decision)
        case Wait():
            return _waiting(name, decision)
        case _:
            assert_never(decision)


def _claiming(name: str, decision: Reclaim) -> list[str]:
    nodes = listed(sorted({assignment.node for assignment in decision.placement.assignments}))
    if not decision.victims:
        return [f"{name} starts on {nodes} as soon as work that leaves these nodes anyway is gone."]
    lines = [f"{name} of queue {decision.queue} starts on {nodes} as soon as others have made way:"]
    lines += [_victim_line(victim) for victim in decision.victims]
    if decision.proof.status == "optimal":
        lines.append("No cheaper choice exists (proven).")
    return lines


def _victim_line(victim: Victim) -> str:
    cost = f"{victim.cost_gpu_seconds} GPU-seconds are lost"
    who = f"{people_name(victim.workload)} of queue {victim.queue}"
    match victim.why:
        case "surplus":
            return f"{who} gives up {pods(len(victim.pods))} that it can do without; {cost}."
        case "reclaim":
            return f"{who}, which borrows, leaves with {pods(len(victim.pods))}; {cost}."
        case "preempt":
            return f"{who}, of lower priority, leaves with {pods(len(victim.pods))}; {cost}."
        case _:
            assert_never(victim.why)


def evicted_line(decision: Reclaim, victim: Victim) -> str:
    """Why pods of a workload were evicted: for whom, by what right, and what it cost."""
    who = f"{people_name(decision.workload)} of queue {decision.queue}"
    bill = f"{victim.cost_gpu_seconds} GPU-seconds of work were lost"
    if victim.queue == decision.queue:
        right = "which has a higher priority"
    elif decision.lent_milli_gpu:
        right = f"which had lent {gpus(decision.lent_milli_gpu)}"
    else:
        right = f"from which queue {victim.queue} borrowed"
    return f"{pods(len(victim.pods))} evicted for {who}, {right}; {bill}"


def queueless_line(workload: Workload) -> str | None:
    """That work runs in no queue, as after its queue was torn away or its namespace changed hands; None where not."""
    if workload.queue is not None or not workload.placed:
        return None
    why = "; ".join(str(problem) for problem in workload.problems) or "no queue serves its namespace"
    return f"no queue is charged for what runs of it, which goes on to its end: {why}"


def claim_wait(decision: Reclaim) -> Wait:
    """What a workload waits for whose room is being cleared."""
    nodes = listed(sorted({assignment.node for assignment in decision.placement.assignments}))
    lines = [_victim_line(victim).removesuffix(".") for victim in decision.victims]
    return Wait(
        workload=decision.workload,
        reason=Reason.MAKING_ROOM,
        message="running work makes way for it",
        detail="; ".join(lines),
        unblock=f"It starts on {nodes} as soon as the pods that make way are gone.",
    )


def kept_wait(wait: Wait, budget: str, why: str) -> Wait:
    """What a workload waits for that would have room if others could be evicted."""
    keeper = f"PodDisruptionBudget {budget}" if budget else "a PodDisruptionBudget"
    return msgspec.structs.replace(
        wait,
        reason=Reason.DISRUPTION_BUDGET,
        message=f"{keeper} keeps work from making way for it",
        detail=why,
        unblock=f"It starts when {keeper} lets that work go, or when that ends. Nobody was evicted.",
    )


def rule_lines(plan: Plan) -> list[str]:
    """A line for each rule of the administrator's own that took no part, or not in all, of a plan."""
    return [f"Note: {trouble}." for trouble in plan.troubles]


def in_the_way(blocker: Blocker) -> str:
    """One thing in the way, as a phrase: `quota of queue a: needs 4 GPUs, has 2 GPUs`."""
    match blocker.kind:
        case "quota":
            if not blocker.unit:
                return f"queue {blocker.subject}"
            needed, available = (counted(blocker.unit, number) for number in (blocker.needed, blocker.available))
            return f"quota of queue {blocker.subject}: needs {needed}, has {available}"
        case "gang":
            if not blocker.unit:
                return f"{blocker.subject} is ahead of it"
            return f"{blocker.subject}: {blocker.available} of {blocker.needed} are there"
        case "topology":
            if not blocker.unit:
                return f"topology level {blocker.subject}: no node is in it"
            return (
                f"topology level {blocker.subject}: needs room for {blocker.needed}, the best has {blocker.available}"
            )
        case "fragmentation":
            return f"room in pieces of {blocker.subject}: needs {blocker.needed}, there are {blocker.available}"
        case "resources":
            needed, available = amount(blocker.subject, blocker.needed), amount(blocker.subject, blocker.available)
            return f"needs {needed}, there are {available}"
        case "selector" | "health" | "request":
            return blocker.subject
        case _:
            assert_never(blocker.kind)


def proof_line(proof: Proof) -> str:
    """How good a placement is known to be."""
    match proof.status:
        case "optimal":
            return "No better placement exists (proven)."
        case "feasible":
            return f"A better placement may exist: proven within {proof.gap:.1%} of the best."
        case "budget hit":
            return f"The solver's budget ran out; proven within {proof.gap:.1%} of the best."
        case _:
            assert_never(proof.status)


def _admitted(name: str, decision: Admit) -> list[str]:
    placement = decision.placement
    nodes = {assignment.node for assignment in placement.assignments}
    count = len(placement.assignments)
    lines = [f"{name} starts: {pods(count)} on {len(nodes)} node{'' if len(nodes) == 1 else 's'}."]
    if placement.spread:
        uses = [
            f"{use.used} {use.level}{'' if use.used == 1 else 's'} (fewest {use.fewest})" for use in placement.spread
        ]
        lines.append(f"It spans {listed(uses)}.")
        lines.append(proof_line(placement.proof))
    if placement.ring is not None:
        lines.append(ring_line(placement.ring))
    return lines


def ring_line(ring: Ring) -> str:
    """How close consecutive ranks are."""
    if not ring.hops:
        return "All its ranks are on one node."
    return f"Around the ring of its ranks {ring.hops} borders of nodes and domains are crossed (fewest {ring.fewest})."


def _waiting(name: str, decision: Wait) -> list[str]:
    fewer = decision.reason is Reason.RUNS_WITH_FEWER
    lines = [f"{name} {decision.message}." if fewer else f"{name} waits: {decision.message}."]
    if decision.detail:
        lines.append(f"Now: {decision.detail}.")
    if decision.blocking:
        lines.append("In its way: " + "; ".join(in_the_way(blocker) for blocker in decision.blocking) + ".")
    if decision.reservation is not None:
        line = reserved_line(decision.reservation)
        lines.append(f"{line[0].upper()}{line[1:]}.")
    if decision.unblock:
        lines.append(decision.unblock)
    return lines
