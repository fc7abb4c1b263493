import re

from prometheus_client.parser import text_string_to_metric_families

from scheduler.exporter.metrics import Metrics, Moment, plain
from tests.exporter.busy import busy_report


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (one.name.removeprefix("bayplan_"), tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
        if not one.name.endswith("_created")
    }


def told() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    moment = Moment()
    moment.report, moment.generation = busy_report(), 7
    moment.errors["GPU-1", 94] += 2
    metrics = Metrics(lambda: moment)
    metrics.call("state", 0.01, "")
    metrics.call("state", 5.0, "TIMED_OUT")
    metrics.publish_error("refused_409")
    return samples(metrics)


def test_gpus_their_health_and_holders_are_told() -> None:
    seen = told()
    assert [seen["gpu_healthy", (("uuid", f"GPU-{i}"),)] for i in range(3)] == [1, 0, 1]
    assert seen["gpu_health_state", (("state", "Unhealthy"), ("uuid", "GPU-1"))] == 1
    assert seen["gpu_health_state", (("state", "Healthy"), ("uuid", "GPU-1"))] == 0
    assert [seen["gpu_allocated", (("uuid", f"GPU-{i}"),)] for i in range(3)] == [1, 0, 1]
    assert seen["gpu_memory_total_bytes", (("uuid", "GPU-0"),)] == 81559 * 1024 * 1024
    reasons = {dict(labels)["reason"] for name, labels in seen if name == "gpu_unhealthy_reason"}
    assert reasons == {"N memory errors could not be corrected since the last reset", "N of its N NVLinks is down"}


def test_no_series_has_a_name_of_another_exporter() -> None:
    moment = Moment()
    moment.report = busy_report()
    names = {one.name for one in text_string_to_metric_families(Metrics(lambda: moment).text().decode())}
    assert {name.partition("_")[0] for name in names} <= {"bayplan", "process"}
    assert not [name for name in names if re.search(r"(percent|_mib|_mb|_ms|celsius|milli)", name)]


def test_links_are_told_once_a_pair() -> None:
    seen = told()
    pairs = [labels for name, labels in seen if name == "gpu_link_info"]
    assert len(pairs) == 3
    assert seen["gpu_link_bandwidth_bytes_per_second", (("peer_uuid", "GPU-2"), ("uuid", "GPU-0"))] == 53_000_000_000
    assert {dict(labels)["count"] for labels in pairs} == {"1", "2"}
    assert seen["gpu_nvlink_active_links", (("uuid", "GPU-1"),)] == 1
    assert seen["gpu_nvlink_expected_links", (("uuid", "GPU-1"),)] == 2


def test_slices_and_their_room_are_told() -> None:
    seen = told()
    assert seen["mig_placements_free", (("profile", "1g.10gb"), ("uuid", "GPU-2"))] == 0
    labels = (("mig_uuid", "MIG-a"), ("profile", "1g.10gb"), ("start", "0"), ("uuid", "GPU-2"))
    assert seen["mig_instance_info", labels] == 1


def test_errors_calls_and_writes_are_counted() -> None:
    seen = told()
    assert seen["gpu_xid_total", (("uuid", "GPU-1"), ("xid", "94"))] == 2
    assert seen["nvml_call_errors_total", (("call", "state"), ("code", "timed_out"))] == 1
    assert seen["nvml_call_duration_seconds_count", (("call", "state"),)] == 2
    assert seen["publish_errors_total", (("reason", "refused_409"),)] == 1
    assert seen["snapshot_generation", ()] == 7


def test_names_are_ours_and_have_base_units() -> None:
    names = {name for name, _ in told()}
    assert not [name for name in names if re.search(r"_(mib|mb|ms|percent)\b|dcgm", name, re.IGNORECASE)]


def test_before_the_first_look_there_is_little_to_tell() -> None:
    assert ("snapshot_generation", ()) in samples(Metrics(Moment))


def test_reasons_have_few_values() -> None:
    assert plain("Xid 79, and no reset since: the GPU fell off the bus") == "Xid 79, and no reset since"
    assert plain("3 of its 18 NVLinks are down: 1, 2, 3") == "N of its N NVLinks are down"
    assert plain("it could not be looked at: the driver did not answer in time (state)") == "it could not be looked at"
