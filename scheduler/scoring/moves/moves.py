"""What the cheapest set of moves is asked for: work that may leave its nodes, and what has to be open afterwards."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scheduler.model.snapshot import IntTable
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.topology import NO_DOMAIN

Amounts = tuple[tuple[int, int], ...]
"""Columns of the table of free amounts, and how much of each."""


class Kind(msgspec.Struct, frozen=True, eq=False):
    """Equal pods that have to be given room: what one asks for, and how many each node takes if all movers are gone.

    `fits` is all that may count for a node besides amounts: what the pod tolerates, links of GPUs, ports, past
    refusals. One record stands for all pods that are equal in this.
    """

    demand: Amounts
    fits: Codes
    gpu_column: int | None = None

    @property
    def gpus(self) -> int:
        """Whole GPUs of one pod."""
        return dict(self.demand).get(-1 if self.gpu_column is None else self.gpu_column, 0)


class Bundle(msgspec.Struct, frozen=True, eq=False):
    """Pods that are given room together: kinds and counts, and what binds them.

    `required`: one domain of these codes holds all. `slices`: codes of a level and how many consecutive pods of a kind
    stand in one domain of it. `choices`: one of these masks of nodes holds all kinds marked in `choosy`; empty where
    it does not matter.
    """

    kinds: tuple[tuple[Kind, int], ...]
    required: Codes | None = None
    slices: tuple[tuple[Codes, int], ...] = ()
    choices: tuple[Mask, ...] = ()
    choosy: tuple[bool, ...] = ()

    @property
    def is_bound(self) -> bool:
        """Whether its pods depend on each other's places."""
        return self.required is not None or bool(self.slices) or bool(self.choices)


class Mover(msgspec.Struct, frozen=True, eq=False):
    """Work that may move, whole: the price, what it takes on which rows, on which of these it holds devices."""

    price: int
    use: Mapping[int, Amounts]
    holds: frozenset[int]
    bundle: Bundle


class Opening(msgspec.Struct, frozen=True, eq=False):
    """Whole nodes of one domain that have to be without devices in use: `count` of them, or all where it is None.

    `codes`: the domain of each node that may be opened, `NO_DOMAIN` for all others.
    """

    codes: Codes
    count: int | None = None


class Sum(msgspec.Struct, frozen=True):
    """A condition on who moves: `terms` are movers by position and what each counts; what moves counts together.

    At least `least`, at most `most`; None is no limit.
    """

    terms: tuple[tuple[int, int], ...]
    least: int | None = None
    most: int | None = None


class MoveProblem(msgspec.Struct, frozen=True, eq=False):
    """The cheapest movers that open `opening`, or make room for `seat`; exactly one of the two is given.

    `free`: amounts that are free while nobody has moved. `sums`: further conditions on who moves.
    """

    free: IntTable
    movers: tuple[Mover, ...]
    opening: Opening | None = None
    seat: Bundle | None = None
    sums: tuple[Sum, ...] = ()


class Choice(msgspec.Struct, frozen=True):
    """Movers by position, nodes that are opened, and where each bundle may stand: rows and counts per kind.

    `seats` has an entry for each mover that moves (by position) and, under -1, for the seat; it is empty where places
    were not looked for.
    """

    moved: tuple[int, ...]
    opened: tuple[int, ...]
    price: int
    seats: Mapping[int, tuple[tuple[Codes, Codes], ...]] = {}


SEAT = -1
"""The place of the seat among bundles."""


class NodeClass(msgspec.Struct, frozen=True):
    """Equal nodes: the same free amounts, movers and their use, and room for each kind.

    `room[i]`: how many pods of kind i one node takes once its movers are gone, and `now[i]` while they stay.
    """

    rows: tuple[int, ...]
    free: Amounts
    content: tuple[tuple[int, Amounts], ...]
    room: tuple[int, ...]
    now: tuple[int, ...]
    opens: int
    """The domain in which it may be opened, or `NO_DOMAIN`."""


def classes_of(
    problem: MoveProblem, kinds: Sequence[Kind], levels: Sequence[Codes], kept: Sequence[int], *, merge: bool
) -> list[NodeClass]:
    """The nodes that matter, in classes of equal ones; `levels` tell nodes apart, only `kept` movers can leave.

    Nodes that several movers share are classes of their own, since what is free there depends on all of them; with
    `merge` false every node is.
    """
    columns = sorted({column for kind in kinds for column, _ in kind.demand})
    opens = problem.opening.codes if problem.opening is not None else np.full(len(problem.free), NO_DOMAIN)
    now = np.maximum(problem.free, 0)
    most = now.copy()
    content: dict[int, list[tuple[int, Amounts]]] = {}
    for at in kept:
        for row, amounts in problem.movers[at].use.items():
            content.setdefault(row, []).append((at, amounts))
            for column, n in amounts:
                most[row, column] += n
    room = [fits_of(kind, most) for kind in kinds]
    stays = [fits_of(kind, now) for kind in kinds]
    matters = opens != NO_DOMAIN
    for fits in room:
        matters = matters | (fits > 0)
    groups: dict[tuple[object, ...], list[int]] = {}
    for row in np.flatnonzero(matters).tolist():
        alone = row if not merge or len(content.get(row, ())) > 1 else -1
        holders = tuple(content.get(row, ()))
        key = (
            alone,
            tuple(now[row, columns].tolist()),
            holders,
            tuple(int(f[row]) for f in room),
            tuple(int(f[row]) for f in stays),
            tuple(int(codes[row]) for codes in levels),
            int(opens[row]),
        )
        groups.setdefault(key, []).append(row)
    return [
        NodeClass(
            tuple(rows),
            tuple((column, int(now[rows[0], column])) for column in columns),
            tuple(content.get(rows[0], ())),
            tuple(int(f[rows[0]]) for f in room),
            tuple(int(f[rows[0]]) for f in stays),
            int(opens[rows[0]]),
        )
        for rows in groups.values()
    ]


def fits_of(kind: Kind, amounts: IntTable) -> Codes:
    """How many pods of the kind each node takes if `amounts` are free there."""
    fits = kind.fits.copy()
    for column, n in kind.demand:
        np.minimum(fits, amounts[:, column] // n, out=fits)
    return fits


def cheapest_first(movers: Sequence[Mover]) -> list[int]:
    """Positions of the movers by price."""
    return sorted(range(len(movers)), key=lambda at: (movers[at].price, at))


def told_apart(bundle: Bundle) -> list[Codes]:
    """Codes of all levels and choices for which it matters on which of two nodes a pod of the bundle stands."""
    required = [] if bundle.required is None else [bundle.required]
    return [*required, *(codes for codes, _ in bundle.slices), *(m.astype(np.int64) for m in bundle.choices)]
