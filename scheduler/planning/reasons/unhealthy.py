"""What refusals say of GPUs that are not healthy: how many there are on nodes that would do, and where."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.model.plan import Blocker, Wait
from scheduler.model.resources import GPU
from scheduler.model.snapshot import IntTable
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import amount, shortened

NODES_SHOWN = 4


def sick_gpus(desk: Desk, candidate: Candidate) -> dict[int, int]:
    """Rows of nodes that would do but for their load, and how many of their whole GPUs are not healthy."""
    views = [desk.room.view(shape) for shape, _ in candidate.groups if shape.requests.gpus]
    if not views or not desk.snapshot.ailing:
        return {}
    mask = np.logical_or.reduce([view.mask for view in views])
    found: dict[int, int] = {}
    for name, ailing in desk.snapshot.ailing.items():
        row = desk.fleet.row_of.get(name)
        count = desk.snapshot.nodes[name].unhealthy_devices if ailing.unhealthy else 0
        if row is not None and count and mask[row]:
            found[row] = count
    return dict(sorted(found.items()))


def healed(desk: Desk, sick: dict[int, int]) -> IntTable:
    """What would be free as well if they were healthy."""
    more = np.zeros(desk.room.free.shape, dtype=np.int64)
    column = desk.room.column(GPU)
    for row in sick if column is not None else ():
        whole = sum(not d.mig_enabled for d in desk.snapshot.nodes[desk.fleet.names[row]].devices)
        more[row, column] = max(0, whole - int(desk.snapshot.columns.allocatable[row, column]))
    return more


def with_sick(desk: Desk, wait: Wait, sick: dict[int, int], *, helps: bool) -> Wait:
    """The refusal with that in its figures; `helps`: there would be room if they were healthy."""
    if not sick:
        return wait
    where = [f"{count} of {desk.fleet.names[row]}" for row, count in sick.items()]
    total = amount(GPU, sum(sick.values()))
    said = f"{total} {'is' if sum(sick.values()) == 1 else 'are'} not healthy: {_some(where)}"
    blocker = Blocker(kind="health", subject=f"health of {total}: {_some(where)}", available=sum(sick.values()))
    return msgspec.structs.replace(
        wait,
        detail="; ".join(filter(None, (wait.detail, said))),
        blocking=(*wait.blocking, blocker) if helps else wait.blocking,
    )


def _some(where: Sequence[str]) -> str:
    return shortened(where, NODES_SHOWN, "those of {} more nodes")
