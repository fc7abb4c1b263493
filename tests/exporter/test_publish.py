"""Publishing against an API server that is played: what is written, when, and again after what failures."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from scheduler.exporter.publish import Publisher, next_standing
from scheduler.exporter.report import report
from scheduler.kube.api import ApiRefusedError, ApiUnreachableError
from scheduler.kube.reports import OwnReport
from scheduler.kube.wire_report import Report, ReportHolding, ReportStanding
from tests.exporter.made import device, node
from tests.exporter.server import PATH, Server

WAIT_S = 60.0


def publisher(
    server: Server, *, heartbeat_s: float = 300.0, began: Callable[[ReportStanding], None] = lambda _standing: None
) -> tuple[Publisher, list[str]]:
    wrong: list[str] = []
    made = Publisher(
        OwnReport(server, "n"),
        boot_id="b",
        wrong=lambda word, _sentence: wrong.append(word),
        began=began,
        heartbeat_s=heartbeat_s,
        spacing_s=0.0,
        first_pause_s=0.01,
    )
    return made, wrong


REPORT = report(node(device(0)))
SICK = report(node(device(0, recovery_action=1)))
HELD = msgspec.structs.replace(
    REPORT,
    holdings=(
        ReportHolding(
            pod_namespace="red", pod_name="a", container="c", resource="nvidia.com/gpu", device_uuids=("GPU-0",)
        ),
    ),
)


async def test_the_object_is_made_for_its_node_and_then_written() -> None:
    server = Server()
    one, wrong = publisher(server)
    one.offer(REPORT)
    assert await one.step()
    assert server.writes == [f"POST {PATH}", f"PATCH {PATH}/n/status"]
    assert server.object is not None
    assert server.object["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    ]
    assert (server.status["deviceCount"], server.status["generation"], server.status["bootId"]) == (1, 1, "b")
    assert wrong == []


async def test_an_object_that_somebody_deleted_is_made_again() -> None:
    server = Server()
    one, wrong = publisher(server)
    one.offer(REPORT)
    await one.step()
    server.object = None
    one.offer(SICK)
    assert await one.step()
    assert server.status["healthyDeviceCount"] == 0
    assert wrong == []


async def test_what_did_not_change_is_not_written_again() -> None:
    server = Server()
    one, _ = publisher(server)
    one.offer(REPORT)
    await one.step()
    server.writes.clear()
    one.offer(report(node(device(0))))
    assert await one.step()
    assert server.writes == []


@pytest.mark.parametrize(("changed", "number"), [(SICK, 2), (HELD, 1)])
async def test_a_change_is_written_and_counted_unless_it_is_who_holds_what(changed: Report, number: int) -> None:
    server = Server()
    one, _ = publisher(server)
    one.offer(REPORT)
    await one.step()
    one.offer(changed)
    await one.step()
    assert server.status["generation"] == number
    one.offer(REPORT)
    await one.step()
    assert "reasons" not in server.status["devices"][0]["health"]
    assert server.status["holdings"] == []


async def test_an_unchanged_report_is_written_again_after_a_while() -> None:
    server = Server()
    one, _ = publisher(server, heartbeat_s=0.05)
    one.offer(REPORT)
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(WAIT_S):
        while server.writes.count(f"PATCH {PATH}/n/status") < 4:  # noqa: ASYNC110  the server has no event
            await asyncio.sleep(0.01)
    task.cancel()
    assert server.status["generation"] == 1
    assert server.patches[1:] == [["observedTime"]] * len(server.patches[1:])


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (ApiUnreachableError("gone"), "unreachable"),
        (ApiRefusedError(409, "Conflict", "changed"), "refused_409"),
        (ApiRefusedError(429, "TooManyRequests", "later"), "refused_429"),
        (ApiRefusedError(403, "Forbidden", "not yours"), "refused_403"),
        (ApiRefusedError(500, "", "broken"), "refused_500"),
    ],
)
async def test_a_write_that_fails_is_tried_again(failure: Exception, word: str) -> None:
    server = Server()
    server.object = {
        "metadata": {"name": "n"},
        "status": msgspec.to_builtins(next_standing(SICK, None, now_s=0, boot_id=None)),
    }
    server.failures = [failure, failure]
    one, wrong = publisher(server)
    one.offer(REPORT)
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(WAIT_S):
        while one.written_s is None:  # noqa: ASYNC110  the publisher has no event
            await asyncio.sleep(0.01)
    task.cancel()
    assert wrong == [word, word]
    assert server.status["healthyDeviceCount"] == 1


async def test_a_node_that_is_not_there_gets_no_report() -> None:
    server = Server(has_node=False)
    one, wrong = publisher(server)
    one.offer(REPORT)
    assert not await one.step()
    assert wrong == ["no_node"]
    assert server.object is None


async def test_after_a_restart_the_number_goes_on_and_fields_that_others_set_stay() -> None:
    server = Server()
    before = next_standing(SICK, None, now_s=0, boot_id="b")
    standing = {**msgspec.to_builtins(before), "generation": 7, "allocator": "DRA", "migOnDemand": True}
    server.object = {"metadata": {"name": "n"}, "status": standing}
    began: list[int] = []
    one, _ = publisher(server, began=lambda told: began.append(told.generation))
    one.offer(SICK)
    await one.step()
    assert began == [7]
    assert (server.status["generation"], server.status["allocator"], server.status["migOnDemand"]) == (7, "DRA", True)
    one.offer(REPORT)
    await one.step()
    assert server.status["generation"] == 8


async def test_a_report_that_cannot_be_understood_is_replaced() -> None:
    server = Server()
    server.object = {"metadata": {"name": "n"}, "status": {"machine": "hgx_h100"}}
    one, _ = publisher(server)
    one.offer(REPORT)
    assert await one.step()
    assert server.status["deviceCount"] == 1


def test_the_time_is_told_in_seconds_of_the_world() -> None:
    assert next_standing(REPORT, None, now_s=1.9, boot_id=None).observed_time == "1970-01-01T00:00:01Z"
