"""GPUs that are divided as they are claimed: no memory slice goes to two claims, and what is free is whole again."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.api import Json
from scheduler.localcluster.fleet import Group
from tests.cluster.harness.claims import (
    PROFILES,
    TEMPLATES,
    ClaimLab,
    asking,
    claim_lab,
    claiming,
    devices_of,
    divisible,
    template,
)
from tests.cluster.harness.lab import Lab

pytestmark = pytest.mark.cluster

GPUS = 2


@pytest.fixture
def dra(lab: Lab) -> Iterator[ClaimLab]:
    lab.nodes(Group(name="plain", count=1, cpu=64, memory_gib=256))
    for made in claim_lab(lab):
        made.create_slices(*divisible("plain-0", GPUS))
        for profile in PROFILES:
            chosen = f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"
            devices = asking(1, selectors=[{"cel": {"expression": chosen}}])
            lab.api.create(TEMPLATES, template(profile.replace(".", "-"), devices))
        lab.api.create(TEMPLATES, template("whole", asking(1)))
        yield made


def places(made: Json) -> set[tuple[str, int]]:
    """GPU and memory slice of everything that a claim has."""
    found: set[tuple[str, int]] = set()
    for device in devices_of(made):
        gpu, _, slice_name = device.partition("/")[2].partition("-mig-")
        size, start = 8, 0
        if slice_name:
            word, _, begin = slice_name.split("-")
            size = next(size for profile, (_, size) in PROFILES.items() if profile.replace(".", "") == word)
            start = int(begin)
        found |= {(gpu, place) for place in range(start, start + size)}
    return found


def no_place_twice(dra: ClaimLab) -> int:
    """How many memory slices are given out; none of them twice."""
    given = [place for each in dra.claims() for place in places(each)]
    assert len(given) == len(set(given)), sorted(given)
    return len(given)


def test_slices_and_whole_gpus_never_overlap(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    lab.create(*(claiming(f"small-{i}", "1g-10gb") for i in range(3)), claiming("half", "3g-40gb"))
    lab.bound_whole("", 4)
    assert no_place_twice(dra) == 3 + 4
    lab.create(claiming("whole", "whole"))
    lab.bound_whole("whole", 1)
    assert no_place_twice(dra) == 8 + 3 + 4
    # Nothing is left for another half, and no GPU is whole.
    lab.create(claiming("late", "3g-40gb"), claiming("other", "whole"))
    lab.eventually("both wait", lambda: lab.told("late") and lab.told("other"))
    assert len(lab.bound()) == 5
    lab.delete_pod("whole")
    lab.eventually("one more stands", lambda: len(lab.bound()) == 5)
    lab.eventually("no guard stands", lambda: all("bayplan" not in str(c.get("status")) for c in dra.claims()))
    no_place_twice(dra)
    lab.check()
    for name in ("half", *(f"small-{i}" for i in range(3))):
        lab.delete_pod(name)
    lab.bound_whole("", 2)
    no_place_twice(dra)
    lab.check()


def test_a_gang_of_slices_and_a_gang_of_gpus_fill_what_there_is(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    lab.create(*(claiming(f"g-{i}", "2g-20gb", gang="g", size=3) for i in range(3)))
    lab.bound_whole("g-", 3)
    lab.create(*(claiming(f"h-{i}", "whole", gang="h", size=2) for i in range(2)))
    lab.eventually("h waits", lambda: lab.told("h-0"))
    assert lab.bound("h-") == {}
    for index in range(3):
        lab.delete_pod(f"g-{index}")
    lab.bound_whole("h-", 2)
    assert no_place_twice(dra) == 16
    lab.check()
