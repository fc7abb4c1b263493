"""Every kind of limit that a queue can have, kept on a real cluster, and told by its name."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.localcluster.api import Json
from tests.cluster.harness.lab import QUEUES, Lab
from tests.cluster.harness.objects import asking, foreign_pod, noted, pod, queue

pytestmark = pytest.mark.cluster

NAMESPACE = "/api/v1/namespaces/default"


@pytest.fixture
def roomy(lab: Lab) -> Lab:
    """A cluster with room for more than its queues may use."""
    lab.api.delete(f"{QUEUES}/plenty")
    lab.h100(2)
    return lab


def with_spec(made: Json, **spec: object) -> Json:
    return {**made, "spec": {**made["spec"], **spec}}


def status(lab: Lab, name: str) -> Json:
    found: Json = lab.api.get(f"{QUEUES}/{name}").get("status", {})
    return found


def kind(lab: Lab, name: str, of: str) -> Json:
    """What the status says of one kind of thing."""
    kinds: list[Json] = status(lab, name).get("kinds", [])
    found: Json = {}
    return next((k for k in kinds if k["name"] == of), found)


@pytest.mark.parametrize(
    ("resource", "needs", "unit"),
    [pytest.param("cpu", "3", 1000, id="CPU"), pytest.param("memory", "3Gi", 1024, id="memory")],
)
def test_cpu_and_memory_count_as_pods_request_them(roomy: Lab, resource: str, needs: str, unit: int) -> None:
    lab = roomy
    lab.start_service()
    limit = {resource: {"nominal": 4, "borrowingLimit": 0}}
    lab.create(with_spec(queue("team", nominal=16, namespaces=["default"]), **limit))
    lab.create(*(asking(pod(f"p-{i}", gpus=1), {resource: needs}) for i in range(2)))
    lab.bound_whole("p-", 1)
    (waits,) = {"p-0", "p-1"} - set(lab.bound("p-"))
    lab.eventually("the other is told", lambda: (lab.told(waits) or ("",))[0] == "QuotaExhausted")
    lab.check()
    assert f"the quota of {resource} of queue team" in (lab.told(waits) or ("", ""))[1]
    lab.eventually("the status has it", lambda: kind(lab, "team", resource).get("used") == 3 * unit)
    assert kind(lab, "team", resource)["nominal"] == 4 * unit
    assert kind(lab, "team", resource)["pending"] == 3 * unit
    lab.api.merge(f"{QUEUES}/team", {"spec": {resource: {"nominal": 8}}})
    lab.bound_whole("p-", 2)
    lab.check()


@pytest.mark.parametrize("label", [None, "team.example/owner"])
def test_no_user_uses_more_than_the_limit_by_the_label_that_the_settings_name(roomy: Lab, label: str | None) -> None:
    lab = roomy
    lab.start_service(**({} if label is None else {"userLabel": label}))
    lab.create(with_spec(queue("team", nominal=16, namespaces=["default"]), userLimit=4))
    whose = label or "bayplan.dev/user"
    for user in ("ann", "bob", None):
        made = (pod(f"{user or 'nobody'}-{i}", gpus=3) for i in range(2))
        lab.create(*(noted(each, labels={whose: user} if user else {}) for each in made))
    for user in ("ann", "bob", "nobody"):
        lab.bound_whole(f"{user}-", 1)
    lab.settle()
    waiting = [p["metadata"]["name"] for p in lab.pods() if not p["spec"].get("nodeName")]
    lab.eventually(
        "the others are told", lambda: {(lab.told(name) or ("",))[0] for name in waiting} == {"QuotaExhausted"}
    )
    lab.check()
    assert sorted(name.partition("-")[0] for name in waiting) == ["ann", "bob", "nobody"]
    said = next((lab.told(name) or ("", ""))[1] for name in waiting if name.startswith("ann"))
    assert "ann" in said, said


@pytest.fixture
def labelled(roomy: Lab) -> Iterator[Lab]:
    """The namespace can be labelled; afterwards it is as it was."""
    yield roomy
    roomy.api.merge(NAMESPACE, {"metadata": {"labels": {"team": None}}})


def test_a_namespace_that_gets_another_label_brings_its_work_to_another_queue(labelled: Lab) -> None:
    lab = labelled
    lab.start_service()
    selecting = {name: {"namespaceSelector": {"matchLabels": {"team": name}}} for name in ("red", "blue")}
    lab.create(with_spec(queue("red", nominal=8), **selecting["red"]))
    lab.create(with_spec(queue("blue", nominal=2), **selecting["blue"]))
    lab.create(pod("early", gpus=1))
    lab.eventually("it is told", lambda: (lab.told("early") or ("",))[0] == "QueueMissing")
    lab.api.merge(NAMESPACE, {"metadata": {"labels": {"team": "red"}}})
    lab.bound_whole("early", 1)
    lab.eventually("it is charged to red", lambda: status(lab, "red").get("usedMilliGpu") == 1000)
    lab.api.merge(NAMESPACE, {"metadata": {"labels": {"team": "blue"}}})
    lab.eventually("it is charged to blue", lambda: status(lab, "blue").get("usedMilliGpu") == 1000)
    lab.create(pod("large", gpus=2), pod("small", gpus=1))
    lab.bound_whole("small", 1)
    lab.eventually("blue has no more", lambda: (lab.told("large") or ("",))[0] == "QuotaExhausted")
    lab.check()
    lab.eventually("red is idle", lambda: status(lab, "red").get("usedMilliGpu") == 0)


def test_who_used_much_of_late_comes_second_and_that_is_forgotten_by_halves(roomy: Lab) -> None:
    lab = roomy
    lab.h100(1)
    half_life_s = 3600
    lab.create(queue("a-tired", nominal=0, borrowing=None), queue("b-fresh", nominal=0, borrowing=None))
    # As a leader wrote it an hour ago.
    then = (datetime.now(UTC) - timedelta(seconds=half_life_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lab.api.merge(f"{QUEUES}/a-tired/status", {"status": {"recent": {"milliGpu": 64000, "at": then}}})
    lab.start_service(usageHalfLifeS=half_life_s)
    lab.create(foreign_pod("filler", node="h100-0"))
    lab.bound_whole("filler", 1)
    lab.create(pod("tired", gpus=8, queue="a-tired"), pod("fresh", gpus=8, queue="b-fresh"))
    for name in ("tired", "fresh"):
        lab.eventually("both wait", lambda n=name: lab.told(n))
    lab.eventually("half is left", lambda: status(lab, "a-tired").get("recent", {}).get("milliGpu", 64000) < 33000)
    left = status(lab, "a-tired")["recent"]
    assert 31000 <= left["milliGpu"] <= 32000
    assert left["at"] > then
    assert status(lab, "b-fresh")["recent"]["milliGpu"] == 0
    lab.delete_pod("filler")
    lab.bound_whole("fresh", 1)
    lab.check()
    assert lab.bound("tired") == {}
