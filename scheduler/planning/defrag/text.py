"""An advice in people's words."""

from collections.abc import Sequence

from scheduler.model.names import people_name
from scheduler.model.plan import Proof
from scheduler.planning.defrag.advice import Advice, MakeFit, Move, OpenDomain
from scheduler.planning.reasons.wording import pods as count_of_pods

SHOWN = 4
"""Nodes listed in a line."""

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def summary(advice: Advice) -> str:
    """What moves, at what cost, and how sure it is that nothing is cheaper."""
    deed = f"open {advice.target}" if isinstance(advice.target, OpenDomain) else f"make {advice.target}"
    if not advice.moves:
        return f"Nothing has to move to {deed}."
    count = len(advice.moves)
    moves = f"{count} workload{' moves' if count == 1 else 's move'}"
    return f"To {deed}, {moves} and {gpu_time(advice.lost_gpu_seconds)} are lost. {_proof(advice.proof)}"


def outcome(advice: Advice) -> str:
    """What the moves bring about."""
    when = "Then" if advice.moves else "Now"
    match advice.target:
        case OpenDomain(level=level):
            count = len(advice.opens)
            nodes = (
                f"{count} node of {level} {advice.domain} is"
                if count == 1
                else f"{count} nodes of {level} {advice.domain} are"
            )
            return f"{when} {nodes} open, with {advice.open_gpus} GPUs: {some(advice.opens)}."
        case MakeFit(workload=name):
            pods = count_of_pods(len(advice.starts))
            said = f"{when} there is room for {name}: {pods} on {some([seat.node for seat in advice.starts])}."
            return f"{said} But others come before it, and would get the room first." if advice.overtaken else said


def places(move: Move) -> tuple[str, str]:
    """Where a move's pods stand, and where they can stand afterwards."""
    targets = [pod.target for pod in move.pods if pod.target is not None]
    return some([pod.source for pod in move.pods]), "waits" if move.waits else some(targets)


def gpu_time(gpu_seconds: int) -> str:
    """`41.1 GPU-hours`; GPU-seconds below a tenth of an hour."""
    if gpu_seconds < _HOUR_S // 10:
        return f"{gpu_seconds} GPU-second{'' if gpu_seconds == 1 else 's'}"
    return f"{gpu_seconds / _HOUR_S:,.1f} GPU-hours"


def span(seconds: int) -> str:
    """A time in its two largest units: `3d 4h`, `1h 5m`, `12m`, `40s`."""
    if seconds >= _DAY_S:
        return f"{seconds // _DAY_S}d {seconds % _DAY_S // _HOUR_S}h"
    if seconds >= _HOUR_S:
        return f"{seconds // _HOUR_S}h {seconds % _HOUR_S // _MINUTE_S}m"
    return f"{seconds // _MINUTE_S}m" if seconds >= _MINUTE_S else f"{seconds}s"


def some(names: Sequence[str]) -> str:
    """The first few of the names, each once."""
    distinct = list(dict.fromkeys(str(name) for name in names))
    more = f" and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
    return " ".join(distinct[:SHOWN]) + more


def name_of(move: Move) -> str:
    """`namespace/name` of who moves."""
    return people_name(move.workload)


def _proof(proof: Proof) -> str:
    if proof.status == "optimal":
        return "No moves are cheaper (proven)."
    why = "the solver's budget ended" if proof.status == "budget hit" else "rules outside the solver's model count"
    return f"Cheaper moves may exist ({why}): at least {gpu_time(proof.bound)} are lost (proven)."
