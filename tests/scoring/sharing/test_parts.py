"""The GPUs of a plan that are divided on demand: what fits beside what, what is given, what is kept for others."""

import numpy as np

from scheduler.model.names import NodeName
from scheduler.model.snapshot import Snapshot
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.room import Room
from scheduler.scoring.sharing.parts import NONE, UNLIMITED, Given, Parts
from tests.state.build import Thing, mig, node, part, queue, report, shape, sliced, state_of

PRODUCT = "NVIDIA-A100-SXM4-80GB"
ALL = np.array([8], dtype=np.int64)


def snapshot(gpus: int = 1, *things: Thing) -> Snapshot:
    """A node that divides its GPUs, and one that does not."""
    dividing = report("n1", gpus=gpus)
    plain: list[Thing] = [queue("default"), node("n1", gpus=gpus, product=PRODUCT), node("n2", gpus=4, product=PRODUCT)]
    seen = type(dividing)(
        node=NodeName("n1"), machine="", devices=dividing.devices, mig_on_demand=True, shares_on_demand=True
    )
    return state_of(*plain, seen, *things).snapshot()


def parts(gpus: int = 1) -> Parts:
    snap = snapshot(gpus)
    return Parts(snap, Fleet(snap))


def test_only_nodes_that_divide_gpus_are_looked_at() -> None:
    made = parts()
    assert (made.any, made.rows.tolist()) == (True, [True, False])
    assert made.when_empty(sliced("3g.40gb")).tolist() == [2, 0]
    snap = state_of(node("n1"), report("n1")).snapshot()
    assert not Parts(snap, Fleet(snap)).any


def test_what_fits_beside_others_leaves_room_for_those_after_it() -> None:
    made = parts()
    assert made.beside(0, 1, [], 0, sliced("3g.40gb")) == 2
    assert made.beside(0, 1, [(sliced("4g.40gb"), 1)], 1, sliced("3g.40gb")) == 1
    assert made.beside(0, 1, [(sliced("4g.40gb"), 1)], 0, sliced("1g.10gb")) == 3
    assert made.beside(0, 1, [(sliced("4g.40gb"), 1), (sliced("3g.40gb"), 1)], 2, sliced("1g.10gb")) == 0
    assert made.beside(0, 0, [], 0, sliced("1g.10gb")) == 0
    assert parts(2).beside(0, 2, [(part(700), 1)], 1, part(300)) == 4


def test_pods_that_do_not_fit_together_clash() -> None:
    made = parts(2)
    assert not made.clash(0, 2, [(part(700), 2), (part(300), 2)])
    assert made.clash(0, 2, [(part(700), 2), (part(400), 1)])
    assert made.clash(0, 1, [(part(700), 1), (sliced("1g.10gb"), 1)])
    assert made.clash(0, 2, [(shape(1), 1), (part(700), 1), (sliced("1g.10gb"), 1)])


def test_a_room_names_rows_of_a_layout_that_clash() -> None:
    room = Room(snap := snapshot(2), Fleet(snap))
    one, two = np.array([0], dtype=np.int64), np.array([2], dtype=np.int64)
    shapes = [part(700), sliced("4g.40gb")]
    assert room.clashing(shapes, [(one, two), (one, one + 1)]) == [0]
    assert room.clashing(shapes, [(one, one + 1), (one, one + 1)]) == []
    assert room.clashing(shapes[:1], [(one, two)]) == []


def test_taking_parts_takes_whole_gpus_into_use() -> None:
    room = Room(snap := snapshot(3), Fleet(snap))
    view = room.view(shape(1))
    assert view.fits.tolist() == [3, 4]
    room.take(0, part(600), 2)
    room.take(0, part(300))
    assert room.view(shape(1)).fits.tolist() == [1, 4]
    assert room.view(part(300)).fits.tolist() == [1 + 3, 0]
    assert room.hand_out(0, [(shape(1), 1)]) == [[(2,)]]
    room.take(0, shape(1))
    assert room.view(part(300)).fits.tolist() == [1, 0]
    given = [room.assignment(p, 0, part(600), ()) for p in ("a", "b")]  # pyright: ignore[reportArgumentType]  names of pods
    assert [a.devices for a in given] == [(0,), (1,)]
    assert room.assignment("c", 0, part(300), ()).devices == (0,)  # pyright: ignore[reportArgumentType]  names of pods


def test_what_is_kept_for_others_is_not_given_and_told_apart() -> None:
    made = parts(2)
    assert made.take(0, 2, sliced("7g.80gb"), 1, for_others=True) == (0,)
    assert made.given(0, sliced("7g.80gb")) == NONE
    assert made.fits(sliced("3g.40gb"), [0], ALL).tolist() == [2]
    assert made.fits(sliced("3g.40gb"), [0], ALL, kept=True).tolist() == [4]
    assert made.take(0, 2, sliced("3g.40gb"), 1) == (1,)
    assert made.given(0, sliced("3g.40gb")) == Given(slices=(mig(1, "3g.40gb", 4),))
    made.hold_whole(0, [])
    assert made.fits(sliced("3g.40gb"), [0], ALL, kept=True).tolist() == [3]


def test_a_node_whose_gpus_are_taken_off_one_by_one_gives_nothing_in_the_end() -> None:
    made = parts(2)
    made.take(0, 2, part(500), 1)
    found: list[int] = []
    for left in (1, 0, -1):
        found += made.fits(part(500), [0], np.array([left], dtype=np.int64)).tolist()
        made.shut([0], 1)
    assert found == [3, 1, 0]


def test_the_tables_of_a_plan_leave_divided_gpus_to_what_limits_them() -> None:
    snap = snapshot()
    resources, allocatable, free = Parts(snap, Fleet(snap)).widened(snap.columns)
    at = resources.index("nvidia.com/mig-1g.10gb.me")
    assert allocatable[:, at].tolist() == free[:, at].tolist() == [UNLIMITED, 0]
    assert resources[: len(snap.columns.resources)] == snap.columns.resources
