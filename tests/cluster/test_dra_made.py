"""MIG slices that were made beforehand: claims get each by its name, also beside what kube-scheduler gives out."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.fleet import Group
from tests.cluster.harness.claims import TEMPLATES, ClaimLab, asking, claim_lab, claiming, devices_of, template
from tests.cluster.harness.lab import Lab

pytestmark = pytest.mark.cluster

SMALL, LARGE = "1g.10gb", "3g.40gb"
OTHERS = "mig.test"
"""A class of which kube-scheduler gives out slices."""


@pytest.fixture
def dra(lab: Lab) -> Iterator[ClaimLab]:
    lab.nodes(Group(name="made", count=1, machine="hgx_h100", dra=True, mig={LARGE: 1, SMALL: 4}))
    for made in claim_lab(lab):
        for name, profile in (("small", SMALL), ("large", LARGE)):
            wanted = f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"
            lab.api.create(TEMPLATES, template(name, asking(1, selectors=[{"cel": {"expression": wanted}}])))
        yield made


def others(dra: ClaimLab) -> str:
    """What a pod has whose slice kube-scheduler chose."""
    one = f"device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].?profile.orValue('') == '{SMALL}'"
    meta, spec = {"name": OTHERS}, {"selectors": [{"cel": {"expression": one}}]}
    dra.add_class({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": meta, "spec": spec})
    dra.api.create(TEMPLATES, template("theirs", asking(1, device_class=OTHERS)))
    dra.lab.create(claiming("theirs", "theirs", schedulerName="default-scheduler"))
    dra.lab.bound_whole("theirs", 1)
    (device,) = devices_of(dra.claim_of("theirs"))
    return device


def slices_of(dra: ClaimLab, *pods: str) -> set[str]:
    return {device for name in pods for device in devices_of(dra.claim_of(name))}


def at_rest(dra: ClaimLab) -> None:
    dra.lab.eventually("no guard stands", lambda: all("bayplan" not in str(c.get("status")) for c in dra.claims()))
    assert dra.twice() == []
    dra.lab.check()


def test_slices_are_given_out_by_name_beside_those_that_kube_scheduler_gives_out(dra: ClaimLab) -> None:
    lab = dra.lab
    theirs = others(dra)
    lab.start_service()
    dra.api.create(TEMPLATES, template("whole", asking(6)))
    lab.create(claiming("whole", "whole"), claiming("large", "large"), *(claiming(f"s{i}", "small") for i in range(4)))
    lab.bound_whole("s", 3)
    lab.bound_whole("large", 1)
    lab.bound_whole("whole", 1)
    bound = sorted(lab.bound("s"))
    (late,) = {f"s{i}" for i in range(4)} - {*bound}
    lab.eventually("the fourth waits", lambda: lab.told(late))
    known = {f"made-0/{d['name']}": d["attributes"].get("profile", {}).get("string", "") for d in _devices(dra)}
    small = {name for name, profile in known.items() if profile == SMALL}
    assert slices_of(dra, *bound) == small - {theirs}
    assert [known[device] for device in slices_of(dra, "large")] == [LARGE]
    assert {known[device] for device in slices_of(dra, "whole")} == {""}
    at_rest(dra)
    (given_back,) = slices_of(dra, bound[0])
    lab.delete_pod(bound[0])
    lab.eventually("the fourth has its place", lambda: late in lab.bound("s"))
    assert slices_of(dra, late) == {given_back}
    at_rest(dra)


def test_a_gang_of_slices_starts_when_all_of_them_are_free(dra: ClaimLab) -> None:
    lab = dra.lab
    theirs = others(dra)
    lab.start_service()
    lab.create(*(claiming(f"g-{i}", "small", gang="g", size=4) for i in range(4)))
    lab.eventually("g waits", lambda: lab.told("g-0"))
    assert lab.bound("g-") == {}
    lab.delete_pod("theirs")
    lab.bound_whole("g-", 4)
    assert theirs in slices_of(dra, *(f"g-{i}" for i in range(4)))
    at_rest(dra)


def _devices(dra: ClaimLab) -> list[dict[str, dict[str, dict[str, str]]]]:
    """What the driver of the node offers."""
    (offered,) = dra.api.get("/apis/resource.k8s.io/v1/resourceslices")["items"]
    return list(offered["spec"]["devices"])
