"""`data/requests_by_kubernetes.json` holds random quantities and pods with what Kubernetes' own code makes of them.

Value and MilliValue of apimachinery v0.36.3 (null: refused), PodRequests of component-helpers v0.36.3 with the options
of kube-scheduler 1.36.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.kube.quantities import LARGEST, milli, nanos, whole
from scheduler.kube.requests import gpu_steps, pod_requests, read_quantities, resources_of
from scheduler.kube.wire import WirePod
from scheduler.model.resources import Resources

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "requests_by_kubernetes.json").read_text())

ODD = {"Gi", "+", "."}
"""Taken for 0 by Kubernetes' parser, though its grammar has no such quantity; the API never holds them."""


def read(text: str) -> list[int] | None:
    try:
        amount = nanos(text)
    except ValueError:
        return None
    return [whole(amount), milli(amount)]


def test_quantities_are_read_as_kubernetes_reads_them() -> None:
    wrong: list[tuple[str, object, object]] = []
    for text, want in RECORDED["quantities"]:
        got = read(text)
        beyond_int64 = got is not None and abs(got[0]) >= LARGEST // 1000
        if got != want and not beyond_int64 and not text.startswith("-") and text not in ODD:
            wrong.append((text, got, want))
    assert wrong == []


@pytest.mark.parametrize("text", ["", "abc", "1x", "1 ", " 1", "1.2.3", "1e", "1Kib", "0x10", "٣", "1m5", "9" * 300])
def test_what_is_no_quantity_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        nanos(text)


def test_amounts_beyond_int64_end_there() -> None:
    assert whole(nanos("1e1000")) == milli(nanos("9E")) == LARGEST
    assert whole(nanos("1e-1000")) == milli(nanos("0.1u")) == 1


@given(st.integers(0, 10**12), st.sampled_from(["", "k", "M", "Ki", "Mi"]))
def test_whole_numbers_with_a_suffix_are_exact(number: int, suffix: str) -> None:
    factor = {"": 1, "k": 1000, "M": 10**6, "Ki": 1024, "Mi": 1024**2}[suffix]
    assert whole(nanos(f"{number}{suffix}")) == number * factor


@pytest.mark.parametrize("number", range(len(RECORDED["pods"])))
def test_a_pod_is_totalled_as_kubernetes_totals_it(number: int) -> None:
    case = RECORDED["pods"][number]
    got = pod_requests(msgspec.convert(case["pod"], WirePod))
    native = {"cpu": got.milli_cpu, "memory": got.memory_bytes, "ephemeral-storage": got.ephemeral_bytes}
    amounts = {name: n for name, n in {**native, **dict(got.extended)}.items() if n}
    assert amounts == {name: n for name, n in case["requests"].items() if n}
    assert got.pods == 1


def requests(**amounts: str) -> dict[str, object]:
    return {"requests": {name.replace("_", "-"): text for name, text in amounts.items()}}


def test_fractions_of_two_containers_are_added_before_they_are_rounded() -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"resources": requests(cpu="500u")}] * 2}}
    assert pod_requests(msgspec.convert(pod, WirePod)).milli_cpu == 1


@pytest.mark.parametrize(
    ("initial", "milli_cpu"),
    [
        pytest.param([("", "3")], 3000, id="a large init container alone decides"),
        pytest.param([("", "1")], 2000, id="a small one does not count"),
        pytest.param([("Always", "1")], 3000, id="a sidecar is added"),
        pytest.param([("Always", "1"), ("", "3")], 4000, id="a sidecar started before counts while initialising"),
        pytest.param([("", "3"), ("Always", "1")], 3000, id="one started after does not"),
    ],
)
def test_init_containers_and_sidecars(initial: list[tuple[str, str]], milli_cpu: int) -> None:
    pod = {
        "metadata": {},
        "spec": {
            "containers": [{"name": "main", "resources": requests(cpu="2")}],
            "initContainers": [
                {"name": f"i{n}", "restartPolicy": policy, "resources": requests(cpu=cpu)}
                for n, (policy, cpu) in enumerate(initial)
            ],
        },
    }
    assert pod_requests(msgspec.convert(pod, WirePod)).milli_cpu == milli_cpu


def test_a_node_s_allocatable_keeps_what_the_scheduler_counts() -> None:
    read_node = resources_of(
        read_quantities(
            {
                "cpu": "15890m",
                "memory": "64Gi",
                "ephemeral-storage": "1e9",
                "pods": "110",
                "nvidia.com/gpu": "8",
                "nvidia.com/mig-1g.10gb": "0",
                "hugepages-1Gi": "0",
                "hugepages-2Mi": "4Mi",
                "storage": "1Gi",
            }
        )
    )
    assert read_node == Resources(
        milli_cpu=15890,
        memory_bytes=64 * 2**30,
        ephemeral_bytes=10**9,
        pods=110,
        extended=(("hugepages-2Mi", 4 * 2**20), ("nvidia.com/gpu", 8)),
    )


@pytest.mark.parametrize(
    ("inits", "containers", "want"),
    [
        pytest.param((), (4,), (), id="one container asks once"),
        pytest.param((), (4, 0), (), id="one of two asks"),
        pytest.param((), (2, 0, 1), (2, 1), id="each container asks for its own"),
        pytest.param(("2*",), (1,), (2, 1), id="a sidecar goes first"),
        pytest.param((4,), (2, 2), (), id="an init container has all, and the others get its GPUs"),
        pytest.param((4, 1), (4,), (), id="a later init container gets those of the first"),
        pytest.param((1,), (4,), (1, 1, 1, 1), id="an init container's GPU and three that go with it: any four"),
        pytest.param((1, 4), (2,), (1, 1, 1, 1), id="the second init container asks for more"),
        pytest.param((0,), (2, 2), (2, 2), id="an init container without GPUs"),
    ],
)
def test_the_device_plugin_is_asked_container_by_container(
    inits: tuple[int | str, ...], containers: tuple[int, ...], want: tuple[int, ...]
) -> None:
    def container(at: int, asks: int | str) -> dict[str, object]:
        gpus = str(asks).rstrip("*")
        requests = {"cpu": "1", **({"nvidia.com/gpu": gpus} if gpus != "0" else {})}
        sidecar = {"restartPolicy": "Always"} if str(asks).endswith("*") else {}
        return {"name": f"c{at}", "resources": {"requests": requests}, **sidecar}

    raw = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {
            "initContainers": [container(at, asks) for at, asks in enumerate(inits)],
            "containers": [container(10 + at, asks) for at, asks in enumerate(containers)],
        },
    }
    pod = msgspec.json.decode(json.dumps(raw).encode(), type=WirePod)
    assert gpu_steps(pod) == want
    assert not want or sum(want) == pod_requests(pod).gpus
