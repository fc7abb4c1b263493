"""Plans in flight: what is left of their reservations."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from scheduler.model.names import PodUid, WorkloadKey
from scheduler.model.plan import Assignment
from scheduler.model.snapshot import InFlight
from scheduler.state.events import Reserved


class FlightBook:
    """Reservations by workload. Each assignment ends by itself; a reservation ends with its last one."""

    def __init__(self) -> None:
        """Nothing in flight."""
        self._flights: dict[WorkloadKey, InFlight] = {}
        self._by_pod: dict[PodUid, tuple[WorkloadKey, Assignment]] = {}
        self._leaving: Counter[PodUid] = Counter()
        self._turned: set[PodUid] = set()

    def start(self, reserved: Reserved, assignments: Iterable[Assignment], milli_gpu: int) -> None:
        """A plan starts with those of its assignments that still mean something; none of its pods is in flight.

        An offer has no assignments from the start: it holds quota alone, and lasts until it is given up.
        """
        kept = tuple(assignments)
        if reserved.assignments and not kept:
            return
        self._flights[reserved.workload] = InFlight(
            workload=reserved.workload,
            queue=reserved.queue,
            assignments=kept,
            milli_gpu=milli_gpu,
            priority=reserved.priority,
            since_s=reserved.now_s,
            leaving=reserved.leaving,
        )
        self._count_leaving(reserved.leaving, 1)
        for assignment in kept:
            self._by_pod[assignment.pod] = (reserved.workload, assignment)

    def of_pod(self, uid: PodUid) -> Assignment | None:
        """The pod's assignment in flight."""
        found = self._by_pod.get(uid)
        return found[1] if found is not None else None

    def carries(self, uid: PodUid) -> bool:
        """Whether the pod is in flight, with devices that were chosen for it."""
        found = self.of_pod(uid)
        return found is not None and bool(found.devices or found.slices)

    def waits(self, uid: PodUid) -> bool:
        """Whether the pod is in flight, and others have to leave before it can start."""
        found = self._by_pod.get(uid)
        return found is not None and bool(self._flights[found[0]].leaving)

    def leaves(self, uid: PodUid) -> bool:
        """Whether a plan in flight waits for the pod to leave."""
        return uid in self._leaving

    def turned(self) -> set[PodUid]:
        """The pods for which that changed since the last time it was asked."""
        turned, self._turned = self._turned, set()
        return turned

    def _count_leaving(self, uids: Iterable[PodUid], step: int) -> None:
        for uid in uids:
            before = uid in self._leaving
            self._leaving[uid] += step
            if not self._leaving[uid]:
                del self._leaving[uid]
            if before != (uid in self._leaving):
                self._turned ^= {uid}

    def end(self, uid: PodUid, milli_gpu: int) -> None:
        """The pod's assignment ended, and with it the pod's part of the quota charge."""
        workload, assignment = self._by_pod.pop(uid)
        flight = self._flights[workload]
        left = tuple(a for a in flight.assignments if a is not assignment)
        if left:
            charge = max(0, flight.milli_gpu - milli_gpu)
            self._flights[workload] = msgspec.structs.replace(flight, assignments=left, milli_gpu=charge)
        else:
            del self._flights[workload]
            self._count_leaving(flight.leaving, -1)

    def give_up(self, workload: WorkloadKey) -> tuple[Assignment, ...] | None:
        """The reservation ended; the assignments that were left. None where there was no reservation."""
        flight = self._flights.pop(workload, None)
        if flight is None:
            return None
        for assignment in flight.assignments:
            del self._by_pod[assignment.pod]
        self._count_leaving(flight.leaving, -1)
        return flight.assignments

    def view(self) -> Mapping[WorkloadKey, InFlight]:
        """All that is in flight now."""
        return self._flights.copy()

    def facts(self) -> Iterator[Reserved]:
        """What is in flight, as events that would bring it about."""
        for flight in self._flights.values():
            yield Reserved(
                workload=flight.workload,
                queue=flight.queue,
                assignments=flight.assignments,
                milli_gpu=flight.milli_gpu,
                priority=flight.priority,
                now_s=flight.since_s,
                leaving=flight.leaving,
            )
