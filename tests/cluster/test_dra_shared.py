"""GPUs of which several claims have a part each (consumable capacity): by the real API, beside the real allocator."""

from collections import Counter
from collections.abc import Iterator

import pytest

from scheduler.kube.quantities import nanos, whole
from scheduler.localcluster.api import Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.fleet import Group
from tests.cluster.harness.claims import (
    DRIVER,
    SLICES,
    TEMPLATES,
    ClaimLab,
    asking,
    claim_lab,
    claiming,
    gpu,
    results_of,
    shared_gpu,
    slice_of,
    template,
)
from tests.cluster.harness.lab import Lab

pytestmark = pytest.mark.cluster

NODE, GPUS, GIB = "plain-0", 2, 1 << 30
ANYBODYS = "anybodys-gpus"


@pytest.fixture
def dra(lab: Lab) -> Iterator[ClaimLab]:
    lab.nodes(Group(name="plain", count=1, cpu=64, memory_gib=256))
    for made in claim_lab(lab):
        made.create_slices(slice_of(NODE, [shared_gpu(NODE, index) for index in range(GPUS)]))
        for gib in (18, 40, 60):
            lab.api.create(TEMPLATES, template(f"of-{gib}", asking(1, capacity={"requests": {"memory": f"{gib}Gi"}})))
        lab.api.create(TEMPLATES, template("plain", asking(1)))
        yield made


def consumed(made: Json) -> list[tuple[str, int]]:
    """The devices of a claim, and how many GiB it has of each."""
    return [(r["device"], whole(nanos(r["consumedCapacity"]["memory"])) // GIB) for r in results_of(made)]


def given_out(dra: ClaimLab) -> Counter[str]:
    """How many GiB of each GPU all claims have together, never more than there are; no two shares have one name."""
    found: Counter[str] = Counter()
    shares: list[tuple[str, str]] = []
    for each in dra.claims():
        found.update(dict(consumed(each)))
        shares += [(r["device"], r["shareID"]) for r in results_of(each)]
    assert all(gib <= 80 for gib in found.values()), found
    assert len(set(shares)) == len(shares)
    return found


def test_pods_share_gpus_by_their_claims_and_no_gpu_is_overdrawn(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    lab.create(*(claiming(f"p-{i}", "of-18") for i in range(9)))
    lab.bound_whole("p-", 8)
    lab.settle()
    # 18 GiB are rounded up to 20, so that four fit on each GPU.
    assert given_out(dra) == {"gpu-0": 80, "gpu-1": 80}
    (late,) = {f"p-{i}" for i in range(9)} - set(lab.bound("p-"))
    told = lab.told(late)
    assert told is not None
    assert told[0] == "InsufficientResources"
    lab.delete_pod(next(iter(lab.bound("p-"))))
    lab.bound_whole("p-", 8)
    assert given_out(dra) == {"gpu-0": 80, "gpu-1": 80}
    lab.eventually("no guard stands", lambda: all("bayplan" not in str(c.get("status")) for c in dra.claims()))
    lab.check()


def test_who_names_no_amount_gets_the_default_of_the_policy(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    lab.create(claiming("p", "plain"))
    lab.bound_whole("p", 1)
    assert consumed(dra.claim_of("p")) == [("gpu-0", 10)]
    lab.check()


def test_nodes_of_the_local_cluster_share_their_gpus(lab: Lab) -> None:
    lab.nodes(Group(name="shared", count=1, machine="hgx_h100", dra=True, shared=True))
    for dra in claim_lab(lab):
        lab.start_service()
        lab.api.create(TEMPLATES, template("part", asking(2, capacity={"requests": {"memory": "30Gi"}})))
        lab.api.create(TEMPLATES, template("plain", asking(6)))
        lab.create(*(claiming(f"p-{i}", "part") for i in range(2)), claiming("whole", "plain"))
        lab.bound_whole("", 3)
        assert consumed(dra.claim_of("p-0")) == consumed(dra.claim_of("p-1")) != []
        assert {gib for _, gib in consumed(dra.claim_of("p-0"))} == {30}
        assert {device for device, _ in consumed(dra.claim_of("whole"))}.isdisjoint(dict(consumed(dra.claim_of("p-0"))))
        lab.check()


def test_a_gang_gets_all_its_parts_or_none(dra: ClaimLab) -> None:
    lab = dra.lab
    lab.start_service()
    lab.create(*(claiming(f"g-{i}", "of-60", gang="g", size=3) for i in range(3)))
    lab.eventually("g waits", lambda: lab.told("g-0"))
    assert lab.bound("g-") == {}
    lab.create(*(claiming(f"h-{i}", "of-40", gang="h", size=4) for i in range(4)))
    lab.bound_whole("h-", 4)
    assert given_out(dra) == {"gpu-0": 80, "gpu-1": 80}
    lab.check()


def test_what_kube_scheduler_gives_to_others_is_counted_as_it_counts_it(dra: ClaimLab) -> None:
    lab = dra.lab
    everyone: Json = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": ANYBODYS},
        "spec": {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]},
    }
    dra.add_class(everyone)
    exactly = asking(1, device_class=ANYBODYS, capacity={"requests": {"memory": "31Gi"}})
    lab.api.create(TEMPLATES, template("theirs-31", exactly))
    lab.api.create(TEMPLATES, template("theirs-default", asking(1, device_class=ANYBODYS)))
    for name in ("31", "default"):
        lab.create(claiming(f"others-{name}", f"theirs-{name}", schedulerName="default-scheduler"))
    lab.bound_whole("others-", 2)
    theirs = given_out(dra)
    # As ours are rounded: up to a whole step, and to the default where nothing is named.
    assert sum(theirs.values()) == 35 + 10
    lab.start_service()
    lab.create(*(claiming(f"p-{i}", "of-40") for i in range(3)))
    want = sum((80 - theirs[f"gpu-{index}"]) // 40 for index in range(GPUS))
    lab.bound_whole("p-", want)
    lab.settle()
    assert len(lab.bound("p-")) == want
    assert sum(given_out(dra).values()) == 45 + 40 * want
    lab.check()


@pytest.mark.parametrize(
    "capacity",
    [
        pytest.param({"value": "80Gi", "requestPolicy": {"default": "7Gi", "validRange": {"min": "9Gi"}}}, id="range"),
        pytest.param({"value": "80Gi", "requestPolicy": {"default": "7Gi", "validValues": ["5Gi"]}}, id="values"),
        pytest.param({"value": "80Gi", "requestPolicy": {"validValues": ["5Gi"]}}, id="no default"),
    ],
)
def test_policies_that_say_nothing_clear_are_refused_by_the_api_server(dra: ClaimLab, capacity: Json) -> None:
    odd = {**shared_gpu("n", 0), "capacity": {"memory": capacity}}
    with pytest.raises(ApiError):
        dra.api.create(SLICES, slice_of("n", [odd], name="odd"))
    alone = {**gpu("n", 0), "capacity": shared_gpu("n", 0)["capacity"]}
    with pytest.raises(ApiError, match="allowMultipleAllocations must be true"):
        dra.api.create(SLICES, slice_of("n", [alone], name="alone"))
