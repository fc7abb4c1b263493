"""Every Prometheus series of the service, in one table, on a registry of its own.

Counters and histograms are updated where things happen; one update costs about a microsecond. Gauges are replaced
whole: a scrape sees the old set or the new one, never a mixture, and label values that vanished are gone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

PREFIX = "bayplan_"

Unit = Literal["", "seconds", "gpus"]

CALL_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.1, 0.5, 2.0, 10.0, 30.0)
PLAN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)
GANG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class CounterSeries(msgspec.Struct, frozen=True, kw_only=True):
    """A count that only grows. `name` ends in `_total`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    unit: Unit = ""


class HistogramSeries(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution of durations."""

    name: str
    help: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()
    unit: Unit = "seconds"


class GaugeSeries(msgspec.Struct, frozen=True, kw_only=True):
    """A value of this moment, for each combination of label values."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    unit: Unit = ""


Series = CounterSeries | HistogramSeries | GaugeSeries

EXTENDER_REQUEST_DURATION: Final = HistogramSeries(
    name="extender_request_duration_seconds",
    help="Time from a request's head to its answer; bind includes the wait for the gang.",
    labels=("verb",),
    buckets=CALL_SECONDS,
)
EXTENDER_RULINGS: Final = CounterSeries(
    name="extender_rulings_total",
    help="Rulings given to kube-scheduler: planned, offered, waiting, untouched; besides them refused (its own filters "
    "had refused the planned node), malformed, failed; for bind: bound, not_bound, hung_up, stopping.",
    labels=("verb", "ruling"),
)
PLANS: Final = CounterSeries(
    name="plans_total",
    help="Decisions on workloads: optimal, feasible or budget hit for admitted ones, else offer, wait or roll back.",
    labels=("status",),
)
OWN_RULE_FAILURES: Final = CounterSeries(
    name="own_rule_failures_total",
    help="Plans that a filter or score of your own took no part in, because it could not be loaded, raised, or "
    "answered with something else than one value a node.",
    labels=("kind", "rule"),
)
PLAN_DURATION: Final = HistogramSeries(
    name="plan_duration_seconds", help="Time to plan one snapshot.", buckets=PLAN_SECONDS
)
PLANS_IN_FLIGHT: Final = GaugeSeries(
    name="plans_in_flight", help="Plans, claims and offers that are being carried out."
)
PLANNER_BUSY: Final = GaugeSeries(
    name="planner_busy", help="1 while something changed that is not planned yet, else 0; 0 on a standby."
)
CLAIMS: Final = CounterSeries(
    name="claims_total",
    help="Claims on the room of running work: cleared (all victims left), in the way (a disruption budget kept one of "
    "them, and nobody was evicted), dropped.",
    labels=("outcome",),
)
EVICTIONS: Final = CounterSeries(
    name="evictions_total",
    help="Pods evicted: Reclaimed (lent quota came back), Preempted (lower priority in the same queue), SurplusTaken "
    "(pods that a gang can do without), RolledBack (a gang that could not be completed), OnFailingDevice (a GPU "
    "or node under its workload fails).",
    labels=("reason",),
)
LOST_GPU_SECONDS: Final = CounterSeries(
    name="lost_gpu_seconds_total",
    help="GPU-seconds of work that evicted pods had done since they started or saved it last.",
    labels=("reason",),
)
PENDING_WORKLOADS: Final = GaugeSeries(
    name="pending_workloads", help="Workloads that wait, by queue and reason.", labels=("queue", "reason")
)
PREDICTIONS: Final = CounterSeries(
    name="prediction_total",
    help="GPUs that the device plugin gave to planned pods: hit (the one set that was expected), tie (one of several), "
    "miss (another one). Not counted where others came or left meanwhile.",
    labels=("result",),
)
QUEUE_USED_GPUS: Final = GaugeSeries(
    name="queue_used_gpus", help="GPUs charged to a queue, plans in flight included.", labels=("queue",), unit="gpus"
)
QUEUE_NOMINAL_GPUS: Final = GaugeSeries(
    name="queue_nominal_gpus", help="GPUs that are the queue's own.", labels=("queue",), unit="gpus"
)
API_WRITES: Final = CounterSeries(
    name="api_writes_total",
    help="Writes to the API server, by what was written and how it ended.",
    labels=("kind", "outcome"),
)
WATCH_EVENTS: Final = CounterSeries(
    name="watch_events_total", help="Events received from watches, by the kind of object.", labels=("kind",)
)
WATCH_RELISTS: Final = CounterSeries(
    name="watch_relists_total", help="Full lists after a watch could not go on.", labels=("kind",)
)
WATCH_SILENCE: Final = GaugeSeries(
    name="watch_silence_seconds",
    help="Time since the API server was last heard on a watch; bookmarks come about every minute.",
    labels=("kind",),
    unit="seconds",
)
BARRIER_HOLD: Final = HistogramSeries(
    name="barrier_hold_seconds",
    help="How long a member's bind was held for the rest of its gang.",
    buckets=GANG_SECONDS,
)
GANG_BIND: Final = HistogramSeries(
    name="gang_bind_seconds", help="From the first to the last member of a gang bound.", buckets=GANG_SECONDS
)
LEADER: Final = GaugeSeries(name="leader", help="1 where this replica leads, else 0.")
STATE_GENERATION: Final = GaugeSeries(name="state_generation", help="Changes applied to the state since the start.")
AUDIT_FINDINGS: Final = GaugeSeries(
    name="audit_findings", help="Differences between the state and a fresh list, at the last audit.", labels=("kind",)
)

TABLE: Final[tuple[Series, ...]] = (
    EXTENDER_REQUEST_DURATION,
    EXTENDER_RULINGS,
    PLANS,
    OWN_RULE_FAILURES,
    PLAN_DURATION,
    PLANS_IN_FLIGHT,
    PLANNER_BUSY,
    CLAIMS,
    EVICTIONS,
    LOST_GPU_SECONDS,
    PENDING_WORKLOADS,
    PREDICTIONS,
    QUEUE_USED_GPUS,
    QUEUE_NOMINAL_GPUS,
    API_WRITES,
    WATCH_EVENTS,
    WATCH_RELISTS,
    WATCH_SILENCE,
    BARRIER_HOLD,
    GANG_BIND,
    LEADER,
    STATE_GENERATION,
    AUDIT_FINDINGS,
)

GaugeValues = Mapping[tuple[str, ...], float]


class _Gauges(Collector):
    """Gauges whose values are swapped whole."""

    def __init__(self) -> None:
        self.values: dict[GaugeSeries, GaugeValues] = {}
        self.live: dict[GaugeSeries, Callable[[], float]] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for series in TABLE:
            if isinstance(series, GaugeSeries) and series in self.values:
                family = GaugeMetricFamily(PREFIX + series.name, series.help, labels=series.labels)
                for labels, value in sorted(self.values[series].items()):
                    family.add_metric(labels, value)
                yield family
            elif isinstance(series, GaugeSeries) and series in self.live:
                yield GaugeMetricFamily(PREFIX + series.name, series.help, value=self.live[series]())


class Telemetry:
    """The series of one process. All methods may be called from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series for each count says only when the process first counted
        self.registry = CollectorRegistry()
        self._gauges = _Gauges()
        self.registry.register(self._gauges)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._counters = {
            s: Counter(PREFIX + s.name, s.help, s.labels, registry=self.registry)
            for s in TABLE
            if isinstance(s, CounterSeries)
        }
        self._histograms = {
            s: Histogram(PREFIX + s.name, s.help, s.labels, registry=self.registry, buckets=s.buckets)
            for s in TABLE
            if isinstance(s, HistogramSeries)
        }
        # Looking a child up by name costs more than the update itself.
        self._counter_children: dict[tuple[str, ...], Counter] = {}
        self._histogram_children: dict[tuple[str, ...], Histogram] = {}

    def count(self, series: CounterSeries, *labels: str, by: float = 1) -> None:
        """Adds `by` to the count of `labels`, which stand in the order of `series.labels`."""
        key = (series.name, *labels)
        child = self._counter_children.get(key)
        if child is None:
            counter = self._counters[series]
            child = self._counter_children[key] = counter.labels(*labels) if series.labels else counter
        child.inc(by)

    def observe(self, series: HistogramSeries, value: float, *labels: str) -> None:
        """Adds one observation, in the unit of the series."""
        key = (series.name, *labels)
        child = self._histogram_children.get(key)
        if child is None:
            histogram = self._histograms[series]
            child = self._histogram_children[key] = histogram.labels(*labels) if series.labels else histogram
        child.observe(value)

    def put(self, series: GaugeSeries, value: float) -> None:
        """Sets a gauge without labels."""
        self.replace(series, {(): value})

    def ask(self, series: GaugeSeries, value: Callable[[], float]) -> None:
        """Has `value` called at every scrape for a gauge without labels, from any thread."""
        self._gauges.live[series] = value

    def replace(self, series: GaugeSeries, values: GaugeValues) -> None:
        """Sets all values of a gauge at once. The mapping is kept: it must not change any more."""
        for labels in values:
            if len(labels) != len(series.labels):
                raise ValueError(f"{series.name} has the labels {series.labels}, not values {labels}")
        self._gauges.values[series] = values

    def exposition(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self.registry)
