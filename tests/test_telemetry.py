import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.telemetry import (
    API_WRITES,
    BARRIER_HOLD,
    LEADER,
    PENDING_WORKLOADS,
    PLANNER_BUSY,
    PREFIX,
    TABLE,
    WATCH_RELISTS,
    CounterSeries,
    HistogramSeries,
    Telemetry,
)


def samples(telemetry: Telemetry, name: str) -> dict[tuple[str, ...], float]:
    """Values of a sample by its label values."""
    families = text_string_to_metric_families(telemetry.exposition().decode())
    return {tuple(s.labels.values()): s.value for f in families for s in f.samples if s.name == PREFIX + name}


def test_counts_add_up() -> None:
    telemetry = Telemetry()
    telemetry.count(API_WRITES, "bind", "ok")
    telemetry.count(API_WRITES, "bind", "ok", by=2)
    telemetry.count(API_WRITES, "gate", "conflict")
    assert samples(telemetry, "api_writes_total") == {("bind", "ok"): 3, ("gate", "conflict"): 1}


def test_observations_fall_into_buckets() -> None:
    telemetry = Telemetry()
    telemetry.observe(BARRIER_HOLD, 0.03)
    buckets = samples(telemetry, "barrier_hold_seconds_bucket")
    assert (buckets[("0.025",)], buckets[("0.05",)]) == (0, 1)


def test_a_gauge_is_replaced_whole() -> None:
    telemetry = Telemetry()
    telemetry.replace(PENDING_WORKLOADS, {("a", "QuotaExhausted"): 2, ("b", "Fragmented"): 1})
    telemetry.replace(PENDING_WORKLOADS, {("a", "Fragmented"): 5})
    assert samples(telemetry, "pending_workloads") == {("a", "Fragmented"): 5}


def test_a_gauge_without_labels() -> None:
    telemetry = Telemetry()
    telemetry.put(LEADER, 1)
    assert samples(telemetry, "leader") == {(): 1}


def test_a_gauge_that_is_asked_for_has_the_value_of_the_moment() -> None:
    telemetry, values = Telemetry(), iter((1, 0))
    telemetry.ask(PLANNER_BUSY, lambda: next(values))
    assert [samples(telemetry, "planner_busy") for _ in range(2)] == [{(): 1}, {(): 0}]


def test_wrong_labels_are_refused() -> None:
    telemetry = Telemetry()
    with pytest.raises(ValueError, match="pending_workloads"):
        telemetry.replace(PENDING_WORKLOADS, {("a",): 1})
    with pytest.raises(ValueError, match="label"):
        telemetry.count(WATCH_RELISTS)


def test_two_processes_worth_of_telemetry_do_not_share() -> None:
    one, other = Telemetry(), Telemetry()
    one.count(API_WRITES, "bind", "ok")
    assert samples(other, "api_writes_total") == {}


def test_counts_from_several_threads_are_all_there() -> None:
    telemetry = Telemetry()
    threads = [
        threading.Thread(target=lambda: [telemetry.count(API_WRITES, "bind", "ok") for _ in range(2000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(telemetry, "api_writes_total") == {("bind", "ok"): 8000}


def test_the_table_follows_the_naming_rules_and_is_exposed_with_help() -> None:
    telemetry = Telemetry()
    text = telemetry.exposition().decode()
    assert len({series.name for series in TABLE}) == len(TABLE)
    for series in TABLE:
        assert series.help.endswith(".")
        assert not series.unit or series.name.removesuffix("_total").endswith(series.unit)
        match series:
            case CounterSeries():
                assert series.name.endswith("_total")
                assert f"# HELP {PREFIX}{series.name} " in text
            case HistogramSeries():
                assert series.name.endswith("_seconds")
                assert list(series.buckets) == sorted(series.buckets)
                assert f"# HELP {PREFIX}{series.name} " in text
            case _:
                assert not series.name.endswith("_total")
