"""What is written, and what the log says, as idle nodes are divided anew, against a stand-in for the API server."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec.structs import replace

from scheduler.app.repartition import FAILED, SAID, Repartition
from scheduler.config import Settings
from scheduler.kube.api import ApiRefusedError, Response
from scheduler.kube.effects import Effects
from scheduler.kube.http import Method
from scheduler.model.node import Node
from scheduler.model.snapshot import Snapshot
from scheduler.planning.repartition.rounds import Begin, Finish, GiveUp, TakeBack, Tell
from scheduler.scoring.own_rules import NO_RULES
from tests.planning.build import shape, single
from tests.planning.repartition.drawing import LARGE, cluster, drawn

if TYPE_CHECKING:
    from scheduler.state.cluster import ClusterState

MAP = "gpu-operator/parted"
SETTINGS = Settings(mig_repartition="idle", mig_config_map=MAP, mig_repartition_period_s=0.001, mig_settle_s=0)


class Api:
    """Has the ConfigMap, and takes every write; `there`: whether it has."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there
        self.writes: list[tuple[str, Any]] = []

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        await asyncio.sleep(0)
        if method == "GET":
            if not self.there:
                raise ApiRefusedError(404, "NotFound", "not found")
            meta = {"resourceVersion": "1"}
            return Response(status=200, body=json.dumps({"metadata": meta, "data": {}}).encode())
        self.writes.append((path.rpartition("/")[2], json.loads(body or b"{}")))
        return Response(status=200, body=b"{}")


def waiting(*nodes: Node) -> Snapshot:
    """Nodes, and a pod that no slice of them is large enough for."""
    return cluster(list(nodes), single("w", shape(mig=LARGE)))


async def said(
    snapshot: Snapshot, api: Api, caplog: pytest.LogCaptureFixture, enough: Callable[[list[str]], bool]
) -> list[tuple[str, object]]:
    """What the log says of nodes, and why, until it is enough."""
    effects = Effects(api, may_write=lambda: True, concurrency=2, instance="test")
    state = cast("ClusterState", SimpleNamespace(snapshot=lambda: snapshot))
    rounds = Repartition(effects, state, SETTINGS, NO_RULES, lambda: True, lambda: 100)
    task = asyncio.ensure_future(rounds.run())
    with caplog.at_level(logging.INFO, logger="bayplan"):
        async with asyncio.timeout(20):
            while not enough([record.getMessage() for record in caplog.records]):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.001)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    pairs = [(record.getMessage(), cast("Any", record).pairs) for record in caplog.records]
    return [(sentence, found.get("why")) for sentence, found in pairs]


@pytest.mark.parametrize(
    ("changes", "step", "opened"),
    [
        ({"mig_wanted": "x"}, Tell, None),
        ({"mig_wanted": "x", "mig_config": "x", "mig_state": "success"}, Finish, False),
        ({"mig_wanted": "x", "mig_config": "x", "mig_state": "failed"}, GiveUp, None),
    ],
)
async def test_each_step_is_written_and_said(
    changes: dict[str, str], step: type[Tell | Finish | GiveUp], opened: object, caplog: pytest.LogCaptureFixture
) -> None:
    api = Api()
    marked = replace(drawn("n1", "1111111"), unschedulable=True, **changes)
    lines = await said(waiting(marked), api, caplog, lambda told: SAID[step] in told)
    assert lines[0] == (SAID[step], None)
    name, written = api.writes[0]
    assert (name, written.get("spec", {}).get("unschedulable")) == ("n1", opened)


async def test_a_node_is_marked_once_its_configuration_is_there(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    lines = await said(waiting(drawn("n1", "1111111")), api, caplog, lambda told: SAID[Begin] in told)
    assert lines[0] == (SAID[Begin], None)
    (config, _), (node, marked) = api.writes[:2]
    assert (config, node, marked["spec"]["unschedulable"]) == ("parted", "n1", True)


async def test_a_node_that_somebody_came_to_is_opened(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    taken = replace(drawn("n1", "1#111111"), unschedulable=True, mig_wanted="x")
    assert (await said(waiting(taken), api, caplog, lambda told: SAID[TakeBack] in told))[0] == (SAID[TakeBack], None)


async def test_without_its_config_map_no_node_is_touched_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(there=False)
    lines = await said(waiting(drawn("n1", "1111111")), api, caplog, lambda told: FAILED in told)
    assert lines[0] == (FAILED, f"there is no ConfigMap {MAP}, or no such node")
    assert api.writes == []
