import threading

import pytest

from scheduler.exporter.backend import DriverError
from scheduler.exporter.nvml.calls import TIMEOUT, CallError
from scheduler.exporter.reading import Xid
from scheduler.exporter.simulated.faults import parse_fault
from tests.exporter.made import deaf
from tests.exporter.nvml.conftest import Open

WHOLE_GPU = 0xFFFFFFFF
LONG_S = 60


def test_errors_come_in_order_with_gpu_and_instance(opened: Open) -> None:
    backend, lib = opened()
    own = lib.node.uuids
    assert deaf(backend, own) == []
    lib.events = [(4, 79, WHOLE_GPU), (0, 31, 5)]
    assert backend.wait(10) == Xid(uuid=own[4], number=79)
    assert backend.wait(10) == Xid(uuid=own[0], number=31, gpu_instance=5)
    assert backend.wait(10) is None


def test_xids_are_all_told_as_which_matter_is_not_ours_to_say(opened: Open) -> None:
    backend, lib = opened()
    deaf(backend, lib.node.uuids)
    lib.events = [(1, number, WHOLE_GPU) for number in (13, 31, 43, 45, 68, 109)]
    assert [told.number for _ in range(6) if (told := backend.wait(10))] == [13, 31, 43, 45, 68, 109]


@pytest.mark.parametrize("call", ["nvmlDeviceGetSupportedEventTypes", "nvmlDeviceRegisterEvents", "nvmlEventSetCreate"])
@pytest.mark.parametrize("code", [2, 3, 4, 6, 13, 15, 999])
def test_gpus_that_cannot_be_watched(opened: Open, call: str, code: int) -> None:
    backend, lib = opened()
    lib.fail[call] = code
    assert deaf(backend, lib.node.uuids) == lib.node.uuids
    assert backend.wait(0) is None


def test_one_that_cannot_be_watched_leaves_the_others(opened: Open) -> None:
    backend, lib = opened("hgx_h100", "lost:2", "unwatched:5")
    own = lib.node.uuids
    assert deaf(backend, own) == [own[2], own[5]]
    assert lib.watched == {0, 1, 3, 4, 6, 7}


def test_a_gpu_that_the_driver_does_not_know_cannot_be_watched(opened: Open) -> None:
    backend, _ = opened()
    assert deaf(backend, ["GPU-0"]) == ["GPU-0"]


def test_watching_anew_frees_what_was_before(opened: Open) -> None:
    backend, lib = opened()
    deaf(backend, lib.node.uuids)
    deaf(backend, lib.node.uuids[:1])
    backend.close()
    assert (lib.seen["nvmlEventSetCreate"], lib.seen["nvmlEventSetFree"], lib.opened) == (2, 2, 0)


def test_a_wait_that_fails_says_to_open_the_driver_again(opened: Open) -> None:
    backend, lib = opened()
    deaf(backend, lib.node.uuids)
    lib.wait_code = 999
    with pytest.raises(DriverError, match="errors of GPUs cannot be waited for: "):
        backend.wait(10)


def test_a_wait_that_fails_for_a_lost_gpu_leaves_the_driver_open(opened: Open) -> None:
    backend, lib = opened()
    own = lib.node.uuids
    deaf(backend, own)
    lib.wait_code = 15
    with pytest.raises(CallError):
        backend.wait(10)
    lib.wait_code = TIMEOUT
    lib.node.add(parse_fault("lost:3"))
    assert deaf(backend, own) == [own[3]]
    lib.events = [(4, 79, WHOLE_GPU)]
    assert backend.wait(10) == Xid(uuid=own[4], number=79)


def test_what_was_reported_before_another_list_was_begun_is_told(opened: Open) -> None:
    backend, lib = opened()
    own = lib.node.uuids
    deaf(backend, own)
    lib.events = [(1, 74, WHOLE_GPU), (2, 74, WHOLE_GPU)]
    assert deaf(backend, own[1:]) == []
    assert [told.uuid for _ in range(3) if (told := backend.wait(0))] == [own[1], own[2]]
    assert lib.seen["nvmlEventSetFree"] == 1


def test_a_wait_without_gpus_ends_when_the_backend_is_closed(opened: Open) -> None:
    backend, _ = opened()
    deaf(backend, [])
    done = threading.Event()

    def body() -> None:
        backend.wait(1000 * LONG_S)
        done.set()

    thread = threading.Thread(target=body)
    thread.start()
    backend.close()
    assert done.wait(LONG_S)
    thread.join(LONG_S)
