"""The exporter as a whole, over a simulated machine and an API server that is played."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scheduler.exporter.exporter import Exporter, Options
from scheduler.exporter.simulated.backend import FixtureBackend
from scheduler.exporter.simulated.faults import parse_fault
from scheduler.kube.api import ApiUnreachableError
from scheduler.kube.reports import OwnReport
from tests.exporter.server import Server

WAIT_S = 60.0
SHARED = {"nvidia.com/gpu.sharing-strategy": "time-slicing", "nvidia.com/gpu.replicas": "4"}


class At:
    """An exporter at work on a node."""

    def __init__(self, server: Server, **options: object) -> None:
        self.server = server
        self.backend = FixtureBackend("hgx_h100", node="n")
        told: dict[str, object] = {"interval_s": 1.0, "simulated": True, "boot_id": "b", **options}
        self.exporter = Exporter(self.backend, Options(**told), own=OwnReport(server, "n"))  # type: ignore[arg-type]

    def states(self) -> list[str]:
        devices = (self.server.object or {}).get("status", {}).get("devices", [])
        return [one["health"]["state"] for one in devices]

    async def until(self, fits: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not fits():  # noqa: ASYNC110  the server has no event
                await asyncio.sleep(0.02)


@asynccontextmanager
async def at_work(server: Server, **options: object) -> AsyncGenerator[At]:
    one = At(server, **options)
    task = asyncio.create_task(one.exporter.run())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.long
async def test_what_breaks_is_published_and_what_heals_too() -> None:
    async with at_work(Server()) as one:
        assert one.exporter.not_ready() == "the GPUs were not looked at yet"
        await one.until(lambda: one.states() == ["Healthy"] * 8)
        await one.until(lambda: one.exporter.not_ready() == "")
        one.backend.apply(parse_fault("lost:2"))
        await one.until(lambda: one.states().count("Unhealthy") == 1)
        one.backend.heal()
        await one.until(lambda: one.states() == ["Healthy"] * 8)
        assert one.exporter.unhealthy() == ""


@pytest.mark.long
async def test_labels_of_the_node_tell_how_gpus_are_shared() -> None:
    server = Server(labels=SHARED)
    async with at_work(server) as one:
        await one.until(lambda: "sharing" in (server.object or {}).get("status", {}))
        assert server.status["sharing"] == {"strategy": "TimeSlicing", "replicas": 4}


@pytest.mark.long
async def test_errors_outlast_a_restart_on_the_same_boot_and_no_other() -> None:
    server = Server()
    async with at_work(server) as one:
        await one.until(lambda: one.states() == ["Healthy"] * 8)
        one.backend.apply(parse_fault("xid:4=79"))
        await one.until(lambda: one.states()[4] == "Unhealthy")
    async with at_work(server) as again:
        await again.until(lambda: again.exporter.not_ready() == "")
        assert again.states()[4] == "Unhealthy"
    async with at_work(server, boot_id="c") as booted:
        await booted.until(lambda: booted.states() == ["Healthy"] * 8)


@pytest.mark.long
async def test_a_server_that_is_away_stops_nothing() -> None:
    server = Server()
    server.failures = [ApiUnreachableError("gone")] * 2
    async with at_work(server) as one:
        await one.until(lambda: one.states() == ["Healthy"] * 8)
        assert b'bayplan_publish_errors_total{reason="unreachable"} 2.0' in one.exporter.metrics.text()


@pytest.mark.long
async def test_a_kubelet_that_is_away_is_told(tmp_path: Path) -> None:
    server = Server()
    async with at_work(server, kubelet_socket=tmp_path / "none.sock") as one:
        await one.until(lambda: "no socket" in str((server.object or {}).get("status", {}).get("unread", "")))
        assert one.states() == ["Healthy"] * 8


@pytest.mark.long
async def test_one_report_can_be_had_without_a_cluster() -> None:
    backend = FixtureBackend("hgx_h100")
    report = await Exporter(backend, Options(simulated=True)).once(
        meanwhile=lambda: backend.apply(parse_fault("lost:1"))
    )
    assert (report.source, report.device_count, report.healthy_device_count) == ("Simulated", 8, 7)


async def test_a_node_publishes_once_where_nothing_runs_on() -> None:
    server = Server()
    backend = FixtureBackend("l40s_x4")
    assert (
        await Exporter(backend, Options(simulated=True, threads=False), own=OwnReport(server, "n")).publish_once() == ""
    )
    assert server.status["deviceCount"] == 4
    nowhere = Server(has_node=False)
    said = await Exporter(backend, Options(simulated=True, threads=False), own=OwnReport(nowhere, "n")).publish_once()
    assert said == "the cluster has no node of this name"
