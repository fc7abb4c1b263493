"""What the next plan would have to work out of work that runs, while nothing waits; no decision depends on it."""

from scheduler.model.snapshot import Snapshot
from scheduler.planning.cache import PlanCache
from scheduler.planning.desk import Desk
from scheduler.planning.settings import PlanSettings


def warm(snapshot: Snapshot, *, now_s: int, settings: PlanSettings, cache: PlanCache) -> None:
    """Fill `cache` with all that a plan may ask about the snapshot's work; the snapshot is left as found.

    A plan looks at no more than it needs: where nothing waits, at nothing that runs. Without this the first workload
    that waits after a start, or after hours in which none did, would pay for all changes since.
    """
    fleet = cache.fleet(snapshot)
    cache.candidates(snapshot)
    desk = Desk(snapshot, fleet, cache.ledger(snapshot), now_s=now_s, settings=settings, known=cache.known)
    keys = desk.stands.keys
    if settings.reclaim:
        cache.known.table.of(snapshot, fleet, keys)
    cache.known.ends.of(snapshot, keys, now_s)
