"""Plans on their way to those who watch them. A slow reader loses the oldest ones; it never holds up the planner."""

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

import msgspec

from scheduler.model.plan import Plan

KEPT_PLANS = 16
"""How many unread plans a reader may have. They share their records with the planner's own."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, and how many before it were dropped since the last delivery."""

    plan: Plan
    missed: int


class Subscription:
    """One reader's place in the feed."""

    def __init__(self, latest: Plan | None) -> None:
        self._unread: deque[Plan] = deque(() if latest is None else (latest,), maxlen=KEPT_PLANS)
        self._missed = 0
        self._ended = False
        self._news = asyncio.Event()
        if latest is not None:
            self._news.set()

    async def next(self) -> Delivery | None:
        """The next plan, waiting for it; None: the feed was interrupted and no more will come."""
        await self._news.wait()
        if not self._unread:
            return None
        delivery = Delivery(plan=self._unread.popleft(), missed=self._missed)
        self._missed = 0
        if not self._unread and not self._ended:
            self._news.clear()
        return delivery

    def put(self, plan: Plan) -> None:
        """Adds a plan, at the cost of the oldest unread one where there are too many."""
        self._missed += len(self._unread) == KEPT_PLANS
        self._unread.append(plan)
        self._news.set()

    def end(self) -> None:
        """Lets the reader have what is unread, and then ends it."""
        self._ended = True
        self._news.set()


class PlanFeed:
    """Passes each published plan to all readers. To be used on one loop."""

    def __init__(self) -> None:
        self._latest: Plan | None = None
        self._readers: set[Subscription] = set()

    @property
    def readers(self) -> int:
        """How many read at the moment."""
        return len(self._readers)

    def publish(self, plan: Plan) -> None:
        """Never waits; costs a few microseconds a reader."""
        self._latest = plan
        for reader in self._readers:
            reader.put(plan)

    @contextmanager
    def subscribe(self) -> Generator[Subscription]:
        """A subscription that begins with the latest plan."""
        reader = Subscription(self._latest)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def interrupt(self) -> None:
        """Ends all readers and forgets the latest plan: this replica does not plan any more."""
        self._latest = None
        for reader in self._readers:
            reader.end()
        self._readers.clear()
