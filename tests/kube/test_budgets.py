"""Disruption budgets as the API server tells them, also where it tells what is no budget."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from scheduler.kube.api import ApiRefusedError, ApiUnreachableError, Response
from scheduler.kube.budgets import Overdrawn, overdrawn
from scheduler.kube.effects import PodRef
from scheduler.kube.http import Method
from scheduler.model.names import PodUid

PODS = [PodRef(uid=PodUid(f"u{i}"), namespace="a", name=f"p{i}") for i in range(2)]
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


class Told:
    """Answers with these lists by the last word of the path; raises what stands there instead of one."""

    def __init__(self, lists: Mapping[str, object]) -> None:
        self._lists = lists

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        assert (method, body, content_type) == ("GET", None, "application/json")
        found = self._lists[path.partition("?")[0].rpartition("/")[2]]
        if isinstance(found, Exception):
            raise found
        return Response(status=200, body=json.dumps({"items": found}).encode())


def budget(allowed: object, selector: object) -> dict[str, object]:
    return {"metadata": {"name": "b"}, "spec": {"selector": selector}, "status": {"disruptionsAllowed": allowed}}


def pods(status: object = READY) -> list[object]:
    return [{"metadata": {"name": pod.name, "uid": pod.uid}, "status": status} for pod in PODS]


@pytest.mark.parametrize(
    ("budgets", "chosen", "short"),
    [
        pytest.param([budget(1, {"matchLabels": {"app": "x"}})], pods(), True, id="one too few"),
        pytest.param([budget(2, {"matchLabels": {"app": "x"}})], pods(), False, id="enough"),
        pytest.param([budget(0, {"matchLabels": {"app": "x"}})], pods({}), False, id="pods that are not ready"),
        pytest.param([budget(0, None)], pods(), False, id="a budget for no pods"),
        pytest.param([budget("none", {})], pods(), False, id="a budget that cannot be understood"),
        pytest.param([budget(0, {})], [{"metadata": {"uid": 7}}], False, id="pods that cannot be understood"),
        pytest.param(ApiRefusedError(403, "Forbidden", "no"), pods(), False, id="budgets that may not be read"),
        pytest.param(ApiUnreachableError("away"), pods(), False, id="no answer"),
    ],
)
def test_the_budget_that_would_not_let_all_go(budgets: object, chosen: object, *, short: bool) -> None:
    api = Told({"poddisruptionbudgets": budgets, "pods": chosen})
    wanted = Overdrawn(name="a/b", allowed=1, pods=frozenset(PODS)) if short else None
    assert asyncio.run(overdrawn(api, PODS)) == wanted
