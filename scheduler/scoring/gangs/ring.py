"""How far apart consecutive ranks stand: what a ring of neighbours, as collective operations make, has to cross."""

from collections.abc import Sequence

import numpy as np

from scheduler.model.node import TopologyLevel
from scheduler.model.plan import Ring
from scheduler.scoring.fleet import Codes, Fleet
from scheduler.scoring.topology import tree


def ring(fleet: Fleet, topology: Sequence[TopologyLevel], rows: Codes) -> Ring | None:
    """The ring over pods that stand on `rows`, in the order of their ranks; None for fewer than two.

    Around the ring every domain is left at least once where there are several, so that at no level there are fewer
    crossings than domains; ranks laid out domain by domain reach that at all levels at once.
    """
    if len(rows) < 2:
        return None
    levels = [*tree(fleet, topology).codes, np.arange(len(fleet), dtype=np.int64)]
    hops = fewest = 0
    for codes in levels:
        places = codes[rows]
        hops += int((places != np.roll(places, -1)).sum())
        used = len(np.unique(places))
        fewest += used if used > 1 else 0
    return Ring(hops=hops, fewest=fewest)
