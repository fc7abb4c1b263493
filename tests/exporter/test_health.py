from typing import Any

import pytest

from scheduler.exporter.health import Health, judge, lasting
from scheduler.exporter.reading import Ecc, Fabric, FabricState, RemappedRows, Unread, Why, Xid
from scheduler.exporter.xids import IGNORED, SUSPECT, UNHEALTHY
from tests.exporter.made import CLIQUE, NOT_SUPPORTED, device, switched, uuid

LOST = Unread(why=Why.LOST)
SILENT = Unread(why=Why.TIMED_OUT, call="state")


def rows(**more: bool) -> RemappedRows:
    told = {"pending": False, "failure": False, **more}
    return RemappedRows(correctable=0, uncorrectable=1, **told)


def fabric(state: FabricState, *, healthy: bool = True) -> Fabric:
    return Fabric(state=state, cluster_uuid="", clique=0, healthy=healthy)


@pytest.mark.parametrize(
    ("more", "nvlinks", "health", "words"),
    [
        pytest.param({}, None, Health.HEALTHY, "", id="whole"),
        pytest.param({"state": LOST, "facts": LOST}, None, Health.UNHEALTHY, "fell off the bus", id="lost"),
        pytest.param({"state": SILENT}, None, Health.UNKNOWN, "did not answer in time (state)", id="hangs"),
        pytest.param(
            {"ecc": Ecc(corrected=9, uncorrected=2)}, None, Health.UNHEALTHY, "2 memory errors could not", id="ecc"
        ),
        pytest.param({"ecc": Ecc(corrected=9, uncorrected=0)}, None, Health.HEALTHY, "", id="corrected"),
        pytest.param({"remapped": rows(failure=True)}, None, Health.UNHEALTHY, "no spare rows", id="no rows left"),
        pytest.param({"remapped": rows(pending=True)}, None, Health.SUSPECT, "at the next reset", id="rows wait"),
        pytest.param({"recovery_action": 1}, None, Health.UNHEALTHY, "asks for a reset of the GPU", id="reset asked"),
        pytest.param({"recovery_action": 3}, None, Health.SUSPECT, "drain P2P", id="drain"),
        pytest.param({"recovery_action": 99}, None, Health.UNHEALTHY, "recovery action 99", id="unknown action"),
        pytest.param({"nvlinks": switched(True, True)}, 2, Health.HEALTHY, "", id="links up"),
        pytest.param(
            {"nvlinks": switched(True, False)}, 2, Health.SUSPECT, "1 of its 2 NVLinks is down: 1", id="a link down"
        ),
        pytest.param({"nvlinks": ()}, 18, Health.SUSPECT, "all of its 18 NVLinks are down", id="no links"),
        pytest.param({"fabric": CLIQUE}, None, Health.HEALTHY, "", id="in the fabric"),
        pytest.param(
            {"fabric": fabric(FabricState.IN_PROGRESS)}, None, Health.SUSPECT, "(InProgress)", id="not in the fabric"
        ),
        pytest.param(
            {"fabric": fabric(FabricState.COMPLETED, healthy=False)},
            None,
            Health.SUSPECT,
            "reports a fault",
            id="fabric",
        ),
        pytest.param(
            dict.fromkeys(("ecc", "remapped", "recovery_action", "nvlinks", "fabric"), NOT_SUPPORTED),
            18,
            Health.HEALTHY,
            "",
            id="nothing told",
        ),
    ],
)
def test_what_is_read_decides(more: dict[str, Any], nvlinks: int | None, health: Health, words: str) -> None:
    verdict = judge(device(0, **more), nvlinks=nvlinks)
    assert verdict.health is health
    assert words in "; ".join(verdict.reasons)
    assert bool(verdict.reasons) is (health is not Health.HEALTHY)


@pytest.mark.parametrize("number", sorted(UNHEALTHY))
def test_fatal_errors_last(number: int) -> None:
    verdict = judge(device(0, errors=(Xid(uuid=uuid(0), number=number),)), nvlinks=None)
    assert verdict.health is Health.UNHEALTHY
    assert verdict.reasons == (f"Xid {number}, and no reset since: {UNHEALTHY[number]}",)


def test_an_error_that_nobody_knows_is_fatal_as_for_the_device_plugin() -> None:
    assert judge(device(0, errors=(Xid(uuid=uuid(0), number=777),)), nvlinks=None).health is Health.UNHEALTHY


@pytest.mark.parametrize("number", sorted(SUSPECT))
def test_milder_errors_make_suspect(number: int) -> None:
    assert judge(device(0, errors=(Xid(uuid=uuid(0), number=number),)), nvlinks=None).health is Health.SUSPECT


@pytest.mark.parametrize("number", [*sorted(IGNORED), 154])
def test_errors_of_applications_say_nothing(number: int) -> None:
    one = device(0, errors=(Xid(uuid=uuid(0), number=number),))
    assert judge(one, nvlinks=None).health is Health.HEALTHY
    assert lasting(one) == ()


def test_the_list_of_ignored_errors_can_be_another() -> None:
    one = device(0, errors=(Xid(uuid=uuid(0), number=79), Xid(uuid=uuid(0), number=31)))
    assert judge(one, nvlinks=None, ignored=frozenset({79})).reasons == (
        "Xid 31, and no reset since: an error of the driver",
    )
    assert lasting(one, frozenset()) == (31, 79)


def test_an_error_of_one_instance_does_not_take_the_others_away() -> None:
    one = device(0, errors=(Xid(uuid=uuid(0), number=95, gpu_instance=3),))
    assert judge(one, nvlinks=None).health is Health.SUSPECT
    assert lasting(one) == ()


def test_the_worst_stands_first() -> None:
    one = device(0, errors=(Xid(uuid=uuid(0), number=94),), recovery_action=2)
    verdict = judge(one, nvlinks=None)
    assert verdict.health is Health.UNHEALTHY
    assert verdict.reasons[0] == "the driver asks for a reboot of the node"
    assert len(verdict.reasons) == 2


def test_without_a_driver_nothing_is_known() -> None:
    verdict = judge(device(0), nvlinks=None, problem="the driver cannot be reached")
    assert verdict.health is Health.UNKNOWN
    assert verdict.reasons == ("it could not be looked at: the driver cannot be reached",)
