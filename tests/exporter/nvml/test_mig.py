# ruff: noqa: ANN401, SLF001 - C functions, whose arguments ctypes leaves without types
# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
"""Profiles and instances: buffers of the caller's, numbers with holes, handles that die."""

from typing import Any

import pytest

from scheduler.exporter.reading import DeviceFacts, DeviceState, MigInstance, MigProfile, Unread, Why
from scheduler.exporter.simulated.node import Placed
from tests.exporter.nvml.conftest import Open
from tests.exporter.nvml.fakelib import FakeLib
from tests.exporter.nvml.memory import Code, put

ONE = Placed(gpu=0, profile="1g.10gb", start=6)
HALF = Placed(gpu=0, profile="3g.40gb", start=0)


def profiles(backend: Any, lib: FakeLib) -> tuple[MigProfile, ...]:
    facts = backend.facts(lib.node.uuids[0])
    assert isinstance(facts, DeviceFacts)
    assert isinstance(facts.mig_profiles, tuple)
    return facts.mig_profiles


def instances(backend: Any, lib: FakeLib) -> tuple[MigInstance, ...] | Unread:
    state = backend.state(lib.node.uuids[0])
    assert isinstance(state, DeviceState)
    return state.instances


def test_profiles_go_by_the_id_of_the_answer(opened: Open) -> None:
    backend, lib = opened()
    assert [(p.id, p.name, p.starts, p.size) for p in profiles(backend, lib)][:3] == [
        (19, "1g.10gb", (0, 1, 2, 3, 4, 5, 6), 1),
        (20, "1g.10gb+me", (0, 1, 2, 3, 4, 5, 6), 1),
        (15, "1g.20gb", (0, 2, 4, 6), 2),
    ]


def test_a_driver_without_names_of_profiles(opened: Open) -> None:
    backend, lib = opened(instances=(ONE,), ready=False)
    lib.missing.add("nvmlDeviceGetGpuInstanceProfileInfoV")
    backend.open()
    unnamed = Unread(why=Why.OLD_DRIVER, call="nvmlDeviceGetGpuInstanceProfileInfo")
    assert [p.id for p in profiles(backend, lib)] == [19, 20, 15, 14, 9, 5, 0]
    assert {p.name for p in profiles(backend, lib)} == {unnamed}
    told = instances(backend, lib)
    assert isinstance(told, tuple)
    assert [(i.profile_id, i.profile) for i in told] == [(19, unnamed)]


def test_starts_need_privileges_and_the_rest_does_not(opened: Open) -> None:
    backend, lib = opened()
    lib.fail["nvmlDeviceGetGpuInstancePossiblePlacements_v2"] = 4
    refused = Unread(why=Why.NO_PERMISSION, call="nvmlDeviceGetGpuInstancePossiblePlacements")
    assert {(p.starts, p.size) for p in profiles(backend, lib)} == {(refused, refused)}
    assert profiles(backend, lib)[6].memory_mib == 81152


def test_placements_are_asked_for_twice(opened: Open) -> None:
    backend, lib = opened()
    profiles(backend, lib)
    assert lib.seen["nvmlDeviceGetGpuInstancePossiblePlacements_v2"] == 2 * 7


def test_placements_that_became_more_between_the_two_calls(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()
    real = lib.do_nvmlDeviceGetGpuInstancePossiblePlacements_v2

    def fewer_at_first(handle: Any, number: int, places: Any, count: Any) -> None:
        real(handle, number, places, count)
        if places is None:
            put(count, 1)

    monkeypatch.setattr(lib, "do_nvmlDeviceGetGpuInstancePossiblePlacements_v2", fewer_at_first)
    assert profiles(backend, lib)[0].starts == (0, 1, 2, 3, 4, 5, 6)


def test_a_buffer_that_is_never_large_enough(opened: Open) -> None:
    backend, lib = opened(instances=(ONE,))
    lib.fail["nvmlDeviceGetGpuInstances"] = 7
    told = instances(backend, lib)
    assert isinstance(told, Unread)
    assert (told.why, told.call) == (Why.FAILED, "nvmlDeviceGetGpuInstances")


def test_a_profile_without_any_placement(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()
    monkeypatch.setattr(
        lib, "do_nvmlDeviceGetGpuInstancePossiblePlacements_v2", lambda handle, number, places, count: put(count, 0)
    )
    none = Unread(why=Why.NO_DATA, call="nvmlDeviceGetGpuInstancePossiblePlacements")
    assert {(p.starts, p.size) for p in profiles(backend, lib)} == {((), none)}


def test_mig_devices_are_looked_for_behind_gaps(opened: Open) -> None:
    backend, lib = opened(instances=(ONE, HALF))
    told = instances(backend, lib)
    assert isinstance(told, tuple)
    assert [i.uuid for i in told] == [i.uuid for i in lib.node.divided[0]]
    assert lib.seen["nvmlDeviceGetMigDeviceHandleByIndex"] == 7


def test_instances_are_asked_for_anew_each_time(opened: Open) -> None:
    backend, lib = opened(instances=(ONE, HALF))
    instances(backend, lib)
    lib.node.divide(0, [Placed(gpu=0, profile="7g.80gb", start=0)])
    told = instances(backend, lib)
    assert isinstance(told, tuple)
    assert [(i.profile, i.uuid) for i in told] == [("7g.80gb", lib.node.divided[0][0].uuid)]


def test_an_instance_whose_compute_instance_is_a_part_of_it_has_no_uuid(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened(instances=(HALF,))

    def attributes(device: Any, told: Any) -> None:
        told._obj.gpuInstanceSliceCount, told._obj.computeInstanceSliceCount = 3, 1

    monkeypatch.setattr(lib, "do_nvmlDeviceGetAttributes_v2", attributes)
    told = instances(backend, lib)
    assert isinstance(told, tuple)
    assert told[0].uuid == Unread(why=Why.NO_DATA, call="nvmlDeviceGetMigDeviceHandleByIndex")


@pytest.mark.parametrize("call", ["nvmlDeviceGetAttributes_v2", "nvmlDeviceGetGpuInstanceId"])
def test_a_mig_device_that_dies_while_it_is_read(opened: Open, call: str) -> None:
    backend, lib = opened(instances=(HALF,))
    lib.fail[call] = 6
    told = instances(backend, lib)
    assert isinstance(told, tuple)
    assert [(i.start, i.size, isinstance(i.uuid, Unread)) for i in told] == [(0, 4, True)]


def test_an_instance_that_dies_while_it_is_read(opened: Open) -> None:
    backend, lib = opened(instances=(HALF,))
    lib.fail["nvmlGpuInstanceGetInfo"] = 6
    assert instances(backend, lib) == Unread(why=Why.NO_DATA, call="nvmlGpuInstanceGetInfo")


def test_mig_devices_that_may_not_be_seen(opened: Open) -> None:
    backend, lib = opened(instances=(HALF,))
    lib.fail["nvmlDeviceGetMigDeviceHandleByIndex"] = 4
    told = instances(backend, lib)
    assert isinstance(told, tuple)
    assert told[0].uuid == Unread(why=Why.NO_PERMISSION, call="nvmlDeviceGetMigDeviceHandleByIndex")


def test_a_name_of_a_mig_device_that_is_no_text(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened(instances=(HALF,))
    real = lib.do_nvmlDeviceGetUUID

    def name(handle: Any, told: Any, size: Any) -> None:
        real(handle, told, size)
        if not lib.is_gpu(handle):
            told.value = b"MIG-\xff"

    monkeypatch.setattr(lib, "do_nvmlDeviceGetUUID", name)
    told = instances(backend, lib)
    assert isinstance(told, tuple)
    uuid = told[0].uuid
    assert isinstance(uuid, Unread)
    assert (uuid.why, uuid.call) == (Why.FAILED, "nvmlDeviceGetUUID")


def test_whether_instances_may_be_seen(opened: Open) -> None:
    backend, lib = opened(instances=(HALF,))
    lib.fail["nvmlDeviceGetGpuInstances"] = 4
    assert instances(backend, lib) == Unread(why=Why.NO_PERMISSION, call="nvmlDeviceGetGpuInstances")


def test_more_profiles_than_any_wheel_knows_are_read_and_there_is_an_end(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()
    real = lib.do_nvmlDeviceGetGpuInstanceProfileInfoV

    def late(handle: Any, number: int, info: Any) -> None:
        if number < 40:
            raise Code(3)
        real(handle, (number - 40) % 2 * 2, info)

    monkeypatch.setattr(lib, "do_nvmlDeviceGetGpuInstanceProfileInfoV", late)
    assert len(profiles(backend, lib)) == 24
