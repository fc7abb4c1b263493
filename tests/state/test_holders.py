"""What other claims have of what a plan gives out, by whatever names."""

import pytest
from msgspec.structs import replace

from scheduler.model.claims import DeviceName, Grant
from scheduler.state.events import ClaimGone, ClaimSeen
from tests.state.build import (
    GIB,
    MEMORY,
    claim,
    gpu_name,
    offer,
    part_claim,
    sharing,
    slice_claim,
    slice_name,
    sliceable,
    state_of,
)

GIVEN = "{} of {} was given to another claim"
WHOLE = gpu_name("n1", 0)
HALF = slice_name("n1", 0, "3g.40gb", 4)


def grant(device: DeviceName, gib: int = 0) -> Grant:
    return Grant(request="r", device=device, consumed=(("memory", gib * GIB),) if gib else ())


@pytest.mark.parametrize(
    ("wanted", "held", "clashes"),
    [
        pytest.param(WHOLE, WHOLE, True, id="the same GPU"),
        pytest.param(WHOLE, gpu_name("n1", 1), False, id="another GPU"),
        pytest.param(WHOLE, gpu_name("n2", 0), False, id="a namesake of another node"),
        pytest.param(WHOLE, HALF, True, id="a slice of the GPU"),
        pytest.param(HALF, WHOLE, True, id="the GPU of the slice"),
        pytest.param(WHOLE, slice_name("n1", 1, "3g.40gb", 4), False, id="a slice of another GPU"),
        pytest.param(HALF, HALF, True, id="the same slice"),
        pytest.param(HALF, slice_name("n1", 0, "1g.10gb", 5), True, id="a slice within the slice"),
        pytest.param(slice_name("n1", 0, "7g.80gb", 0), HALF, True, id="a slice of all the memory"),
        pytest.param(HALF, slice_name("n1", 0, "1g.10gb", 3), False, id="a slice beside it"),
        pytest.param(HALF, slice_name("n1", 1, "1g.10gb", 5), False, id="such a slice of another GPU"),
        pytest.param(WHOLE, gpu_name("n1", "7"), False, id="something that is not offered"),
    ],
)
def test_devices_that_lie_on_each_other(wanted: DeviceName, held: DeviceName, *, clashes: bool) -> None:
    state = state_of(sliceable("n1"), offer("n2"), claim("a"), claim("x", held, ours=False))
    want = GIVEN.format(held.device, held.pool) if clashes else None
    assert state.claims.clash({"claim-a": (grant(wanted),)}) == want
    assert state.claims.clash({"claim-a": (grant(wanted),)}, of="claim-x") == want
    assert state.claims.clash({"claim-a": (grant(wanted),)}, of="claim-a") is None
    assert state.claims.clash({"claim-x": (grant(wanted),)}) is None
    state.apply(ClaimGone(uid="claim-x"))
    assert state.claims.clash({"claim-a": (grant(wanted),)}) is None


def test_slices_that_were_made_beforehand_lie_on_their_gpu_and_not_on_each_other() -> None:
    made = sliceable("n1", gpus=1)
    static = [replace(d, start=-1, parent="GPU-0") if d.kind == "mig" else d for d in made.devices]
    state = state_of(
        replace(made, devices=tuple(static)), slice_claim("x", "1g.10gb", slice_name("n1", 0, "1g.10gb", 0))
    )
    assert state.claims.clash({"claim-a": (grant(WHOLE),)}) is not None
    assert state.claims.clash({"claim-a": (grant(slice_name("n1", 0, "1g.10gb", 1)),)}) is None


@pytest.mark.parametrize(
    ("others", "why"),
    [
        pytest.param((part_claim("x", 50, WHOLE),), None, id="what is left is enough"),
        pytest.param((part_claim("x", 51, WHOLE),), "too much of gpu-0 of n1 was given to other claims", id="too much"),
        pytest.param(
            (part_claim("x", 25, WHOLE), part_claim("y", 26, WHOLE)),
            "too much of gpu-0 of n1 was given to other claims",
            id="too much together",
        ),
        pytest.param((part_claim("x", 70, gpu_name("n1", 1)),), None, id="of another GPU"),
        pytest.param((claim("x", WHOLE),), GIVEN.format("gpu-0", "n1"), id="all of it"),
        pytest.param((part_claim("a", 80, WHOLE),), None, id="what the claim itself had"),
    ],
)
def test_parts_are_together_no_more_than_there_is(others: tuple[ClaimSeen, ...], why: str | None) -> None:
    state = state_of(sharing("n1", MEMORY), *others)
    wanted = {"claim-a": (grant(WHOLE, 10),), "claim-b": (grant(WHOLE, 20),)}
    assert state.claims.clash(wanted) == why
    assert state.claims.clash(wanted, of="claim-x") == why


def test_a_gpu_that_is_given_whole_is_no_place_for_parts() -> None:
    state = state_of(sharing("n1", MEMORY), part_claim("x", 5, WHOLE))
    assert state.claims.clash({"claim-a": (grant(WHOLE),)}) == GIVEN.format("gpu-0", "n1")
