"""A GPU of which one call of the library does not return, behind the real backend: the others are read whole."""

import asyncio
from itertools import combinations

import pytest

from scheduler.exporter.agent import Agent
from scheduler.exporter.report import report
from scheduler.kube.wire_report import Report
from tests.exporter.nvml.conftest import Open

HUNG = 3
CALL_S = 1.0
WAIT_S = 60.0


def linked(seen: Report, kind: str) -> set[frozenset[str]]:
    uuids = {one.index: one.uuid for one in seen.devices}
    return {frozenset({uuids[link.a], uuids[link.b]}) for link in seen.links if link.type == kind}


@pytest.mark.parametrize(
    "call",
    [
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetPciInfo_v3",
        "nvmlDeviceGetName",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetNvLinkState",
        "nvmlDeviceGetTotalEccErrors",
    ],
)
async def test_the_first_report_is_whole_but_for_the_gpu_that_hangs(opened: Open, call: str) -> None:
    backend, lib = opened(ready=False)
    lib.hang = (call, HUNG)
    agent = Agent(backend, call_s=CALL_S)
    try:
        seen = report(await asyncio.wait_for(agent.look(), WAIT_S))
        own = lib.node.uuids
        others = [uuid for uuid in own if uuid != own[HUNG]]
        states = {one.uuid: one.health.state for one in seen.devices}
        assert [states[uuid] for uuid in others] == ["Healthy"] * 7
        assert sorted(states.values()) == [*["Healthy"] * 7, "Unknown"]
        wanted = set(map(frozenset, combinations(others, 2)))
        assert linked(seen, "NVLink") == wanted
        assert linked(seen, "PCIe") == wanted
        (hung,) = [one for one in seen.devices if one.health.state == "Unknown"]
        assert {one.field for one in hung.unread or ()} >= {"links", "state"}
        assert all("did not answer in time" in one.reason for one in hung.unread or ())
    finally:
        lib.free.set()
        await agent.close()


@pytest.mark.parametrize("call", ["nvmlDeviceGetTopologyCommonAncestor", "nvmlDeviceGetP2PStatus"])
async def test_links_that_hang_take_no_others_away(opened: Open, call: str) -> None:
    backend, lib = opened(ready=False)
    lib.hang = (call, HUNG)
    agent = Agent(backend, call_s=CALL_S)
    try:
        seen = report(await asyncio.wait_for(agent.look(), WAIT_S))
        own = lib.node.uuids
        others = [uuid for uuid in own if uuid != own[HUNG]]
        assert {one.health.state for one in seen.devices} == {"Healthy"}
        assert linked(seen, "PCIe") == set(map(frozenset, combinations(others, 2)))
        assert linked(seen, "NVLink") == set(map(frozenset, combinations(own, 2)))
        assert [one.field for one in seen.unread] == ["links.pcieLevel", "links.p2p"]
        lib.free.set()
        async with asyncio.timeout(WAIT_S):
            while seen.unread:
                seen = report(await agent.look())
        assert linked(seen, "PCIe") == set(map(frozenset, combinations(own, 2)))
    finally:
        lib.free.set()
        await agent.close()


async def test_a_registration_that_hangs_leaves_the_errors_of_others_heard(opened: Open) -> None:
    backend, lib = opened(ready=False)
    lib.hang = ("nvmlDeviceRegisterEvents", HUNG)
    agent = Agent(backend, call_s=CALL_S)
    await agent.look()
    listener = asyncio.create_task(agent.listen())
    try:
        lib.events = [(5, 79, 0xFFFFFFFF)]
        async with asyncio.timeout(WAIT_S):
            while not agent.errors:
                await agent.woken.wait()
                await agent.look()
        assert list(agent.errors) == [(lib.node.uuids[5], 79)]
        deaf = [one.uuid for one in report(agent.node).devices if one.health.state == "Unknown"]
        assert deaf == [lib.node.uuids[HUNG]]
    finally:
        lib.free.set()
        listener.cancel()
        await agent.close()
