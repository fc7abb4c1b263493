"""What a workload would be charged, on the nodes of each product where that matters."""

import numpy as np

from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.quota.tree import Bill, bill_for
from scheduler.scoring.fleet import Mask


def options_of(desk: Desk, candidate: Candidate) -> list[tuple[Mask, Bill]]:
    """The nodes that the workload may use and its charge there: of each product where that matters, else all."""
    queue = desk.payer(candidate.workload)
    products = desk.fleet.products
    everywhere = np.ones(len(desk.fleet), dtype=np.bool_)
    if not queue.flavors:
        return [(everywhere, desk.base_bill(candidate))]
    suits = np.logical_or.reduce([desk.room.view(shape).mask for shape, _ in candidate.groups])
    found: list[tuple[Mask, Bill]] = []
    for code in sorted(set[int](products.codes[suits].tolist()) - {-1}):
        bill = Bill()
        for shape, count in candidate.groups:
            bill = bill.plus(bill_for(queue, shape, products.values[code]), count)
        found.append(((products.codes == code) | (products.codes == -1), bill))
    return found
