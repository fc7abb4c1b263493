"""One domain at a time: what is opened, or who is seated, stands in one domain, so that each can be looked at alone.

Each domain comes with a price that no moves for it go below: a mover's price is divided evenly among its nodes, so
that nodes which are emptied, in whatever choice, cost no more than the movers on them.
"""

import msgspec
import numpy as np
import numpy.typing as npt

from scheduler.scoring.fleet import Codes
from scheduler.scoring.moves.moves import Bundle, MoveProblem, Opening, fits_of
from scheduler.scoring.topology import NO_DOMAIN

Prices = npt.NDArray[np.float64]


class Domain(msgspec.Struct, frozen=True, eq=False):
    """The problem within one domain, and a price that no moves go below."""

    problem: MoveProblem
    bound: int


def by_domain(problem: MoveProblem) -> list[Domain]:
    """The domains in which the goal could be reached, the most promising first; else the problem as it is."""
    opening, seat = problem.opening, problem.seat
    if opening is not None:
        found = _opened(problem, opening)
    elif seat is not None and seat.required is not None:
        found = _seated(problem, seat, seat.required)
    else:
        return [Domain(problem, 0)]
    return sorted(found, key=lambda domain: domain.bound)


def _opened(problem: MoveProblem, opening: Opening) -> list[Domain]:
    shares = np.zeros(len(problem.free))
    for mover in problem.movers:
        if mover.holds:
            shares[list(mover.holds)] += mover.price / len(mover.holds)
    domains: list[Domain] = []
    for code in _distinct(opening.codes):
        inside = opening.codes == code
        least = np.sort(shares[inside])[: opening.count]
        only = msgspec.structs.replace(opening, codes=np.where(inside, opening.codes, NO_DOMAIN))
        domains.append(Domain(msgspec.structs.replace(problem, opening=only), _floor(least.sum())))
    return domains


def _seated(problem: MoveProblem, seat: Bundle, required: Codes) -> list[Domain]:
    now = np.maximum(problem.free, 0)
    most = now.copy()
    least = np.full(len(now), np.inf)
    for mover in problem.movers:
        share = mover.price / max(len(mover.use), 1)
        for row, amounts in mover.use.items():
            least[row] = min(least[row], share)
            for column, n in amounts:
                most[row, column] += n
    fits = [(fits_of(kind, now), fits_of(kind, most)) for kind, _ in seat.kinds]
    domains: list[Domain] = []
    for code in _distinct(required):
        inside = np.flatnonzero(required == code)
        bounds = [
            _filled(here[inside], room[inside], least[inside], count)
            for (here, room), (_, count) in zip(fits, seat.kinds, strict=True)
        ]
        if any(bound is None for bound in bounds):
            continue
        kinds = tuple(
            (msgspec.structs.replace(kind, fits=np.where(required == code, kind.fits, 0)), count)
            for kind, count in seat.kinds
        )
        only = msgspec.structs.replace(seat, kinds=kinds)
        domains.append(
            Domain(msgspec.structs.replace(problem, seat=only), max((bound or 0 for bound in bounds), default=0))
        )
    return domains


def _filled(now: Codes, room: Codes, least: Prices, count: int) -> int | None:
    """What `count` pods cost at least on these nodes; None where there is no room even if everything moves."""
    missing = count - int(now.sum())
    if missing <= 0:
        return 0
    more = np.maximum(room - now, 0)
    if int(more.sum()) < missing:
        return None
    gained = np.flatnonzero(more)
    each = least[gained] / more[gained]
    order = np.argsort(each, kind="stable")
    taken = np.diff(np.minimum(np.cumsum(more[gained][order]), missing), prepend=0)
    return _floor((taken * each[order]).sum())


def _floor(price: float) -> int:
    """Rounded down, with room for errors of floating-point sums."""
    return int(price * (1 - 1e-9))


def _distinct(codes: Codes) -> list[int]:
    return [code for code in np.unique(codes).tolist() if code != NO_DOMAIN]
