"""What has been asked for of late, by pods that are here and by pods that are gone."""

from collections import Counter
from collections.abc import Iterable, Iterator

from scheduler.model.demand import Kind, Request
from scheduler.model.workload import Pod
from scheduler.scoring.policies.fragmentation import Mix
from scheduler.scoring.policies.free import request_of
from scheduler.state.events import RequestsSeen

PERIOD_S = 1800
"""Seconds of a period of the mix; with its half-life of 64 periods a request counts half after 32 hours."""


class DemandBook:
    """Counts every pod of ours once, at the time of its creation; the clock is that of the newest pod.

    What is gone counts on, and is not known after a restart: then the mix starts from the pods that are there.
    """

    def __init__(self) -> None:
        """Nothing was asked for."""
        self._mix = Mix()
        self._kinds: tuple[Kind, ...] = ()
        self._kinds_of = self._mix.version

    def see(self, pod: Pod, before: Pod | None) -> None:
        """A pod as it is now, which was `before`."""
        if before is not None and before.shape is pod.shape and before.managed == pod.managed:
            return
        now, then = _asked(pod), None if before is None else _asked(before)
        if now != then:
            if then is not None:
                self._mix.add(*then, -1)
            if now is not None:
                self._mix.add(*now)

    def recall(self, seen: RequestsSeen) -> bool:
        """Take in what pods that are gone asked for."""
        self._mix.add(seen.request, seen.period, seen.count)
        return True

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The mix of all periods but the latest, so that it changes once a period."""
        if self._kinds_of != self._mix.version:
            self._kinds_of = self._mix.version
            kinds = self._mix.kinds(closed=True)
            self._kinds = self._kinds if kinds == self._kinds else kinds
        return self._kinds

    def facts(self, pods: Iterable[Pod]) -> Iterator[RequestsSeen]:
        """What others than `pods`, all that are here, asked for."""
        here = Counter(asked for pod in pods if (asked := _asked(pod)) is not None)
        for request, period, count in self._mix.counts():
            gone = count - here[request, period]
            if gone:
                yield RequestsSeen(request=request, period=period, count=gone)


def _asked(pod: Pod) -> tuple[Request, int] | None:
    """The request of a pod of ours that asks for GPUs, and its period."""
    request = request_of(pod.shape) if pod.managed else None
    return None if request is None or not request.devices else (request, pod.created_s // PERIOD_S)
