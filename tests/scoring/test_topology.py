"""Levels, domains, and how they nest."""

import numpy as np
import pytest

from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level, levels_for, tree
from tests.planning.build import LEVELS, draw

BLOCK, RACK = LEVELS


def fleet(drawing: str) -> Fleet:
    return Fleet(draw(drawing))


NODES = fleet("b0/r0 n0: .\nb0/r1 n1: .\nb1/r0 n2: .\n-/r1 n3: .\nb1/- n4: .")


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("block", BLOCK),
        ("r", RACK),
        ("node", NODE_LEVEL),
        ("kubernetes.io/hostname", NODE_LEVEL),
        ("nothing", None),
    ],
)
def test_a_level_goes_by_its_name_or_its_label(name: str, want: TopologyLevel | None) -> None:
    assert find_level(NODES, LEVELS, name) == want


def test_any_label_that_nodes_have_is_a_level() -> None:
    assert find_level(NODES, (), "b") == TopologyLevel(name="b", label="b")


def test_a_node_without_the_label_is_in_no_domain() -> None:
    assert domains(NODES, BLOCK).codes.tolist() == [0, 0, 1, NO_DOMAIN, 1]
    assert domains(NODES, NODE_LEVEL).codes.tolist() == [0, 1, 2, 3, 4]


def test_in_a_tree_equal_labels_in_different_outer_domains_are_different_domains() -> None:
    made = tree(NODES, LEVELS)
    blocks, racks = (codes.tolist() for codes in made.codes)
    assert blocks == [0, 0, 1, 2, 1]
    assert len({racks[0], racks[1], racks[2], racks[3], racks[4]}) == 5
    assert made.order.tolist() == [0, 1, 2, 4, 3]


def test_the_order_of_a_tree_keeps_domains_together() -> None:
    made = tree(fleet("b1/r3 n0: .\nb0/r0 n1: .\nb1/r3 n2: .\nb0/r1 n3: .\nb0/r0 n4: ."), LEVELS)
    assert made.order.tolist() == [1, 4, 3, 0, 2]
    for codes in made.codes:
        assert (np.diff(codes[made.order]) >= 0).all()


def test_a_required_level_comes_first_and_a_foreign_preferred_one_where_it_belongs() -> None:
    zone = TopologyLevel(name="zone", label="z")
    assert levels_for(NODES, LEVELS, RACK, None) == (RACK, BLOCK)
    assert levels_for(NODES, LEVELS, None, RACK) == LEVELS
    assert levels_for(NODES, LEVELS, None, zone) == (zone, *LEVELS)
    assert levels_for(NODES, LEVELS, NODE_LEVEL, None) == LEVELS
