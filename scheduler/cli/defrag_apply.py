"""`bayplan defrag --apply`: the moves are made, with the rights of the person who asks.

All evictions are tried first, so that a disruption budget or a missing right stops everything before anything moved.
While work leaves, the nodes it leaves, and those that are to become free, take no new pods: what was evicted comes back
and would go there again. Opened nodes stay cordoned for whoever opened them. Nodes for a waiting workload take pods
again when all that moves is gone: what waits is older than what comes back, and has its turn before it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import assert_never

from scheduler.cli.output import BadInputError, CommandError
from scheduler.kube.api import ApiClient
from scheduler.kube.effects import Done, Effects, Fenced, Gone, Outcome, PodRef, Refused, Unreachable
from scheduler.kube.login import LoginError
from scheduler.model.names import NodeName, people_name
from scheduler.model.node import Node
from scheduler.planning.defrag.advice import Advice, MakeFit, OpenDomain

LONGEST_WAIT_S = 900.0
"""For pods that were asked to leave; most have 30 s for it (terminationGracePeriodSeconds)."""

LOOK_S = 0.5


def confirmed(*, assumed: bool) -> bool:
    """Whether the person wants it, asked on the terminal.

    Raises:
        BadInputError: nobody can be asked.
    """
    if assumed:
        return True
    if not sys.stdin.isatty():
        raise BadInputError("--apply asks before it moves anything, and there is no terminal to ask on; add --yes")
    return input("Make these moves now? Type yes: ").strip().lower() == "yes"


def apply(advice: Advice, nodes: Mapping[NodeName, Node], kubeconfig: Path | None) -> str:
    """Make the moves of an advice on the live cluster that it was found for; what was done, in a sentence.

    Raises:
        BadInputError: the credentials cannot be used.
        CommandError: not all could be done; the text says what was.
    """
    try:
        return asyncio.run(_applied(advice, nodes, kubeconfig))
    except LoginError as err:
        raise BadInputError(str(err)) from err


async def _applied(advice: Advice, nodes: Mapping[NodeName, Node], kubeconfig: Path | None) -> str:
    leaving = [
        PodRef(uid=pod.pod, namespace=people_name(move.workload).partition("/")[0], name=pod.name)
        for move in advice.moves
        for pod in move.pods
    ]
    closed = _closed(advice, nodes)
    async with await ApiClient.connect(kubeconfig) as api:
        effects = Effects(api, may_write=lambda: True, concurrency=16, instance="bayplan-defrag")
        _all_done(await _each(effects.evict(pod, only_try=True) for pod in leaving), leaving, "Nothing was moved")
        _all_done(await _each(effects.cordon(node, on=True) for node in closed), closed, "No pod was moved")
        stay_closed = isinstance(advice.target, OpenDomain)
        try:
            _all_done(await _each(effects.evict(pod) for pod in leaving), leaving, "The other pods were evicted")
            await _gone(effects, leaving)
        finally:
            if not stay_closed:
                await _each(effects.cordon(node, on=False) for node in closed)
    return _done(advice, leaving, closed)


def _closed(advice: Advice, nodes: Mapping[NodeName, Node]) -> list[NodeName]:
    """Nodes that take no new pods meanwhile, without those that take none already."""
    leaving: set[NodeName] = {pod.source for move in advice.moves for pod in move.pods}
    starting: set[NodeName] = {seat.node for seat in advice.starts}
    chosen = starting | leaving if isinstance(advice.target, MakeFit) else set(advice.opens)
    return sorted(name for name in chosen if name in nodes and not nodes[name].unschedulable)


async def _each(writes: Iterable[Awaitable[Outcome]]) -> list[Outcome]:
    return list(await asyncio.gather(*writes))


def _done(advice: Advice, leaving: list[PodRef], closed: list[NodeName]) -> str:
    moved = f"{len(leaving)} pod{'' if len(leaving) == 1 else 's'} evicted, and gone."
    match advice.target:
        case OpenDomain():
            if not closed:
                return f"{moved} The opened nodes were cordoned before, and stay so."
            names = " ".join(closed)
            return f"{moved} The opened nodes are cordoned; when you are done with them: kubectl uncordon {names}"
        case MakeFit():
            return f"{moved} There is room for {advice.target.workload} now; `bayplan explain` tells how it goes on."
        case _:
            assert_never(advice.target)


def _all_done(outcomes: list[Outcome], subjects: list[PodRef] | list[NodeName], meanwhile: str) -> None:
    for outcome, subject in zip(outcomes, subjects, strict=True):
        what = f"{subject.namespace}/{subject.name}" if isinstance(subject, PodRef) else f"node {subject}"
        match outcome:
            case Done() | Gone():
                continue
            case Refused(message=message) | Unreachable(message=message):
                raise CommandError(f"{what}: {message}. {meanwhile}")
            case Fenced():
                raise CommandError(f"{what}: not sent. {meanwhile}")
            case _:
                assert_never(outcome)


async def _gone(effects: Effects, leaving: list[PodRef]) -> None:
    left: list[PodRef] = leaving
    try:
        async with asyncio.timeout(LONGEST_WAIT_S):
            while left:
                there = await asyncio.gather(*(effects.stands(pod) for pod in left))
                left = [pod for pod, stands in zip(left, there, strict=True) if stands]
                if left:
                    await asyncio.sleep(LOOK_S)
    except TimeoutError as err:
        first = f"{left[0].namespace}/{left[0].name}"
        raise CommandError(
            f"{len(left)} evicted pods are still there after {LONGEST_WAIT_S:g} s, {first} first"
        ) from err
