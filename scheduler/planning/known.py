"""What was worked out of single workloads, valid while they are the very same records; no decision depends on it."""

from typing import TYPE_CHECKING

from scheduler.planning.reasons.stands import KnownStands
from scheduler.planning.reclaim.table import KnownTable
from scheduler.planning.reserve.timeline import KnownStarts

if TYPE_CHECKING:
    from scheduler.quota.usage import KnownBills


class Known:
    """Where workloads stand, since when, what they are charged, and whether they may have to leave."""

    def __init__(self) -> None:
        self.stands = KnownStands()
        self.starts = KnownStarts()
        self.table = KnownTable()
        self.bills: KnownBills = {}
