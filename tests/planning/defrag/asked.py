"""Questions to `advise` about drawings: `#` is held by others, `.` is free or where the named work stands."""

# ruff: noqa: ANN401  fields of records are passed on by keyword

from collections.abc import Iterable
from typing import Any

from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.defrag.advice import Advice, MakeFit, NoAdvice, OpenDomain, Target
from scheduler.planning.defrag.advise import advise
from scheduler.planning.settings import PlanSettings
from tests.planning.build import gang, pods, shape

NOW_S = 1000


R0 = OpenDomain(level="rack", domain="r0")


NEW = MakeFit(workload="team/new")


TWO_RACKS = """
    b0/r0 n1: .... ....
    b0/r0 n2: .... ....
    b0/r1 n3: .... ....
    b0/r1 n4: .... ....
"""


def stands(name: str, gpus: int, *nodes: str, since_s: int = 0, **more: Any) -> Workload:
    """A gang with a pod of `gpus` GPUs on each of the nodes."""
    return gang(name, pods(name, [shape(gpus)] * len(nodes), on=nodes, bound_s=since_s), **more)


def waits(name: str, pods_: int, gpus: int, **more: Any) -> Workload:
    return gang(name, pods(name, [shape(gpus)] * pods_), **more)


def asked(snap: Snapshot, target: Target, **more: Any) -> Advice | NoAdvice:
    return advise(snap, target, now_s=NOW_S, settings=PlanSettings(), **more)


def moves(found: Advice | NoAdvice) -> list[str]:
    """The moves in a line each: `a: n1 n2 -> n3 n4`, or `a: n1 -> waits`."""
    assert isinstance(found, Advice), found
    return [
        f"{move.workload.partition('/')[2]}: {_listed(p.source for p in move.pods)} -> "
        + ("waits" if move.waits else _listed(p.target or "" for p in move.pods))
        for move in found.moves
    ]


def _listed(names: Iterable[str]) -> str:
    return " ".join(names)


def why_not(found: Advice | NoAdvice) -> str:
    assert isinstance(found, NoAdvice), moves(found)
    return str(found)
