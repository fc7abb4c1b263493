"""MIG slices that are made as pods claim them: allocated by name on the real API, in places that are free."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.api import Json
from scheduler.localcluster.device_slices import resource_slices
from scheduler.localcluster.fleet import Fleet, Group
from tests.cluster.harness.claims import (
    TEMPLATES,
    ClaimLab,
    asking,
    claim_lab,
    claiming,
    devices_of,
    slice_of,
    template,
)
from tests.cluster.harness.lab import Lab

pytestmark = pytest.mark.cluster

GROUP = Group(name="divided", count=1, machine="dgx_a100", dra=True)
GPUS = 2
PLACES = {"1g.10gb": (range(7), 1), "3g.40gb": ((0, 4), 4)}
"""Where slices may begin, and how many memory units they take."""


def taking(gpu: int, units: range) -> list[Json]:
    """What a device takes of its GPU's counters."""
    counters = {f"memory-slice-{unit}": {"value": "1"} for unit in units}
    return [{"counterSet": f"gpu-{gpu}-counter-set", "counters": counters}]


def divided(gpu: int) -> Iterator[Json]:
    """The slices of a GPU, as the driver offers them that makes them when they are claimed."""
    for profile, (starts, size) in PLACES.items():
        for start in starts:
            yield {
                "name": f"gpu-{gpu}-mig-{profile.replace('.', '')}-{size}-{start}",
                "attributes": {"type": {"string": "mig"}, "profile": {"string": profile}},
                "consumesCounters": taking(gpu, range(start, start + size)),
            }


@pytest.fixture
def dra(lab: Lab) -> Iterator[ClaimLab]:
    lab.nodes(GROUP)
    yield from claim_lab(lab)


def offer(dra: ClaimLab) -> None:
    """A newer generation of the node's pool, in two ResourceSlices."""
    (made,) = resource_slices(Fleet(groups=(GROUP,)))
    node, whole = made["spec"]["nodeName"], made["spec"]["devices"][:GPUS]
    devices = [{**each, "consumesCounters": taking(gpu, range(8))} for gpu, each in enumerate(whole)]
    pool = {"name": node, "generation": 2, "resourceSliceCount": 2}
    sets = [
        {"name": f"gpu-{gpu}-counter-set", "counters": {f"memory-slice-{unit}": {"value": "1"} for unit in range(8)}}
        for gpu in range(GPUS)
    ]
    counted = slice_of(node, [*devices, *(one for gpu in range(GPUS) for one in divided(gpu))], name="a-2", pool=pool)
    counters = slice_of(node, [], name="b-2", pool=pool, sharedCounters=sets)
    del counters["spec"]["devices"]
    dra.create_slices(counters, counted)


def test_slices_and_gpus_of_one_node_are_claimed_by_name_and_never_twice(dra: ClaimLab) -> None:
    lab = dra.lab
    offer(dra)
    lab.start_service()
    for profile in PLACES:
        wanted = f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"
        dra.api.create(TEMPLATES, template(profile, asking(1, selectors=[{"cel": {"expression": wanted}}])))
    dra.api.create(TEMPLATES, template("whole", asking(1)))
    lab.create(claiming("w-0", "whole"))
    lab.bound_whole("w-", 1)
    lab.create(claiming("l-0", "3g.40gb"), *(claiming(f"s-{i}", "1g.10gb") for i in range(3)))
    lab.bound_whole("l-", 1)
    lab.bound_whole("s-", 3)
    (whole,) = devices_of(dra.claim_of("w-0"))
    (large,) = devices_of(dra.claim_of("l-0"))
    small = [device for i in range(3) for device in devices_of(dra.claim_of(f"s-{i}"))]
    sliced = large.partition("-mig-")[0]
    assert {whole, sliced} == {f"divided-0/gpu-{gpu}" for gpu in range(GPUS)}
    assert all(device.startswith(f"{sliced}-mig-1g10gb-") for device in small)
    units = [int(device.rpartition("-")[2]) for device in small]
    first = int(large.rpartition("-")[2])
    assert not {*range(first, first + 4)} & {*units}
    assert len({*units}) == 3
    dra.lab.check()
