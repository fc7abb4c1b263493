"""What was worked out of single workloads, valid while they are the very same records; no decision depends on it."""

from typing import TYPE_CHECKING

from scheduler.planning.reasons.stands import KnownStands
from scheduler.planning.reclaim.table import KnownTable
from scheduler.planning.reserve.timeline import KnownEnds

if TYPE_CHECKING:
    from scheduler.quota.usage import KnownBills


class Known:
    """Where workloads stand, until when, what they are charged, and whether they may have to leave.

    `any_length`: of some it is known how long they run.
    """

    def __init__(self) -> None:
        self.stands = KnownStands()
        self.ends = KnownEnds()
        self.table = KnownTable()
        self.bills: KnownBills = {}
        self.any_length = True
