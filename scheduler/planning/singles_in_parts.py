"""Pods that stand alone and ask for parts of GPUs or MIG slices, where some nodes make these on demand.

Each goes where it takes least from what others could be given: an untouched GPU last of all, then where the large MIG
profiles that could still be made stay possible, then onto the GPU with the least left. Nodes where nothing is held back
for a waiting gang go first, and nodes whose GPUs are divided beforehand before others: nobody can have these whole.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from scheduler.model.workload import PodShape
from scheduler.planning.desk import Desk
from scheduler.scoring.fleet import Codes
from scheduler.scoring.sharing.divided import Harm

Turn = tuple[bool, Harm, int, int, int]
"""Held back, what is taken from others, what of the node is free, place in the order of nodes, row."""


def in_turn(desk: Desk, shape: PodShape, rows: Codes) -> Iterator[tuple[int, int]]:
    """The node of the next pod, again and again, and that it takes one pod.

    Its place has to be taken before the next is asked for; a node where it is not is not named again. `rows`: the nodes
    that take the pod, of equals the better one first.
    """
    heap = [turn for at, row in enumerate(rows.tolist()) if (turn := _turn(desk, shape, at, row)) is not None]
    heapify(heap)
    while heap:
        turn = heappop(heap)
        at, row = turn[-2:]
        if not desk.room.view(shape).fits[row]:
            continue
        now = _turn(desk, shape, at, row)
        if now == turn:
            taken = len(desk.room.log)
            yield row, 1
            now = _turn(desk, shape, at, row) if len(desk.room.log) > taken else None
        if now is not None:
            heappush(heap, now)


def _turn(desk: Desk, shape: PodShape, at: int, row: int) -> Turn | None:
    room = desk.room
    held = bool(desk.holds.rows[row])
    if not room.parts.rows[row]:
        columns = [column for name, _ in shape.requests.extended if (column := room.column(name)) is not None]
        free = min((int(room.free[row, column]) for column in columns), default=0)
        return held, Harm(0, (), 0), free, at, row
    gpus = room.gpus([row])
    harm = room.parts.harm(row, 0 if gpus is None else int(gpus[0]), shape)
    return None if harm is None else (held, harm, room.parts.free_milli(row), at, row)
