"""Every Prometheus series of the exporter. Nothing that DCGM's exporter has: that is joined by the label `uuid`."""

import re
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from msgspec import UnsetType
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scheduler.exporter.report_mig import profile_name
from scheduler.kube.wire_report import Report, ReportProfile

T = TypeVar("T")

CALL_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0, 30.0)
BYTES_PER_MIB = 1024 * 1024
BYTES_PER_GIGABYTE = 1_000_000_000

STATES = ("Healthy", "Suspect", "Unknown", "Unhealthy")


class Moment:
    """What the gauges are made of; replaced whole."""

    def __init__(self) -> None:
        self.report: Report | None = None
        self.generation = 0
        self.looked_s: float | None = None
        self.held_s: float | None = None
        self.written_s: float | None = None
        self.errors: Counts[tuple[str, int]] = Counts()


class Metrics:
    """All series, on a registry of its own. `moment` is asked at each scrape."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self._registry = CollectorRegistry()
        self._publish_errors = Counter(
            "bayplan_publish_errors",
            "Attempts to write the node's GPUNode that failed, by what went wrong.",
            ["reason"],
            registry=self._registry,
        )
        self._call_errors = Counter(
            "bayplan_nvml_call_errors",
            "Questions to the GPU driver that failed, by question and what went wrong.",
            ["call", "code"],
            registry=self._registry,
        )
        self._call_seconds = Histogram(
            "bayplan_nvml_call_duration_seconds",
            "How long the GPU driver took to answer a question.",
            ["call"],
            buckets=CALL_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Gauges(moment))
        ProcessCollector(registry=self._registry)

    def call(self, call: str, seconds: float, wrong: str) -> None:
        """A question to the driver; `wrong` is "" where it was answered."""
        self._call_seconds.labels(call).observe(seconds)
        if wrong:
            self._call_errors.labels(call, wrong.lower()).inc()

    def publish_error(self, reason: str) -> None:
        """A write that failed."""
        self._publish_errors.labels(reason).inc()

    def text(self) -> bytes:
        """What a scrape gets."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    def __init__(self, moment: Callable[[], Moment]) -> None:
        self._moment = moment

    def collect(self) -> Iterable[Metric]:
        moment, now_s = self._moment(), time.monotonic()
        yield from _ages(moment, now_s)
        if moment.report is not None:
            yield from _devices(moment.report)
            yield from _links(moment.report)
            yield from _mig(moment.report)
        xids = CounterMetricFamily(
            "bayplan_gpu_xid", "Errors that the driver reported, by their number.", labels=["uuid", "xid"]
        )
        for (uuid, number), count in sorted(moment.errors.items()):
            xids.add_metric([uuid, str(number)], count)
        yield xids


def _gauge(name: str, said: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"bayplan_{name}", said, labels=list(labels))


def _ages(moment: Moment, now_s: float) -> Iterator[Metric]:
    generation = _gauge("snapshot_generation", "Number of the report; it grows when devices, links or fabric change.")
    generation.add_metric([], moment.generation)
    yield generation
    for name, said, since_s in (
        ("snapshot_age_seconds", "Since the GPUs were last looked at.", moment.looked_s),
        ("holdings_age_seconds", "Since the kubelet last told who holds which devices.", moment.held_s),
        ("published_age_seconds", "Since the report was last written to the cluster.", moment.written_s),
    ):
        if since_s is not None:
            age = _gauge(name, said)
            age.add_metric([], now_s - since_s)
            yield age


def _devices(report: Report) -> Iterator[Metric]:
    info = _gauge(
        "gpu_info", "A GPU of the node.", ("uuid", "gpu", "pci_bus_id", "model", "arch", "numa", "driver_version")
    )
    healthy = _gauge("gpu_healthy", "Whether nothing speaks against the GPU.", ["uuid"])
    state = _gauge("gpu_health_state", "1 for the state that the GPU's health is in.", ["uuid", "state"])
    reasons = _gauge("gpu_unhealthy_reason", "What speaks against the GPU.", ["uuid", "reason"])
    allocated = _gauge("gpu_allocated", "Whether a pod holds the GPU, a slice or a part of it.", ["uuid"])
    memory = _gauge("gpu_memory_total_bytes", "Memory of the GPU.", ["uuid"])
    active = _gauge("gpu_nvlink_active_links", "NVLinks of the GPU that are up.", ["uuid"])
    expected = _gauge("gpu_nvlink_expected_links", "NVLinks of the GPU that should be up.", ["uuid"])
    held = {each.partition("::")[0] for one in report.holdings for each in one.device_uuids}
    for one in report.devices:
        texts = (_text(one.pci_bus_id), one.model, _text(one.architecture), _text(one.numa_node))
        info.add_metric([one.uuid, str(one.index), *texts, report.driver_version or ""], 1)
        healthy.add_metric([one.uuid], one.health.state == "Healthy")
        for each in STATES:
            state.add_metric([one.uuid, each], one.health.state == each)
        for reason in sorted(set(map(plain, _tuple(one.health.reasons)))):
            reasons.add_metric([one.uuid, reason], 1)
        slices = {each.uuid for each in _tuple(one.mig_instances) if isinstance(each.uuid, str)}
        allocated.add_metric([one.uuid], not held.isdisjoint({one.uuid, *slices}))
        if not isinstance(one.memory_mib, UnsetType):
            memory.add_metric([one.uuid], one.memory_mib * BYTES_PER_MIB)
        if not isinstance(one.active_nvlinks, UnsetType):
            active.add_metric([one.uuid], one.active_nvlinks)
        if not isinstance(one.nvlinks, UnsetType):
            expected.add_metric([one.uuid], one.nvlinks)
    yield from (info, healthy, state, reasons, allocated, memory, active, expected)


def _links(report: Report) -> Iterator[Metric]:
    """Each pair once, the smaller index first."""
    info = _gauge(
        "gpu_link_info", "What connects two GPUs, and how many NVLinks do.", ["uuid", "peer_uuid", "kind", "count"]
    )
    speed = _gauge(
        "gpu_link_bandwidth_bytes_per_second", "Of two GPUs in one direction over NVLink.", ["uuid", "peer_uuid"]
    )
    uuids = {one.index: one.uuid for one in report.devices}
    linked = {(link.a, link.b) for link in report.links if link.type == "NVLink"}
    for link in report.links:
        pair = [uuids[link.a], uuids[link.b]]
        if link.type == "NVLink":
            info.add_metric([*pair, "nvswitch" if report.nvswitch else "nvlink", _text(link.count)], 1)
            if not isinstance(link.gigabytes_per_second, UnsetType):
                speed.add_metric(pair, link.gigabytes_per_second * BYTES_PER_GIGABYTE)
        elif (link.a, link.b) not in linked:
            info.add_metric([*pair, _text(link.pcie_level).lower(), ""], 1)
    yield from (info, speed)
    if report.fabric is not None:
        fabric = _gauge("gpu_fabric_info", "The NVLink fabric across nodes.", ["cluster_uuid", "clique", "state"])
        fabric.add_metric([report.fabric.cluster_uuid or "", report.fabric.clique_id or "", report.fabric.state], 1)
        yield fabric


def _mig(report: Report) -> Iterator[Metric]:
    instances = _gauge("mig_instance_info", "A MIG instance.", ["uuid", "mig_uuid", "profile", "start"])
    free = _gauge("mig_placements_free", "Places where one more instance could be made.", ["uuid", "profile"])
    offered: dict[str, tuple[ReportProfile, ...]] = {}
    for one in report.devices:
        # GPUs of a model that offer what the first of them does do not say so again.
        profiles = _tuple(one.mig_profiles) or offered.get(one.model, ())
        offered.setdefault(one.model, profiles)
        for each in _tuple(one.mig_instances):
            instances.add_metric([one.uuid, _text(each.uuid), each.profile, str(each.start)], 1)
        counts = Counts(each.profile for each in _tuple(one.free_placements))
        if one.mig_mode == "Enabled":
            for profile in profiles:
                name = profile_name(profile.profile, profile.profile_id)
                free.add_metric([one.uuid, name], counts[name])
    yield from (instances, free)


def plain(reason: str) -> str:
    """The kind of reason, without what differs from one time to the next, so that a label has few values."""
    kind = re.sub(r"\([^)]*\)|: .*", "", reason).strip()
    return re.sub(r"(?<!Xid )\b\d+\b", "N", kind)


def _tuple(told: tuple[T, ...] | UnsetType) -> tuple[T, ...]:
    return () if isinstance(told, UnsetType) else told


def _text(told: object) -> str:
    return "" if isinstance(told, UnsetType) else str(told)
