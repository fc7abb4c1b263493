"""Annotations on how a gang is laid out: slices, domains for itself, roles."""

import pytest

from scheduler.kube.translate_values import SLICES_ALLOWED, level, role, slices
from scheduler.model.workload import Problem, Slices

SLICES = "bayplan.dev/topology-slices"
EXCLUSIVE = "bayplan.dev/topology-exclusive"
ROLE, REQUIRED = "bayplan.dev/role", "bayplan.dev/role-topology-required"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("rack=4", (("rack", 4),)),
        (" rack = 4 , node = 2 ", (("rack", 4), ("node", 2))),
        ("block=8,rack=4,node=2", (("block", 8), ("rack", 4), ("node", 2))),
        ("example.com/rack=16", (("example.com/rack", 16),)),
    ],
)
def test_slices(text: str, want: Slices) -> None:
    problems: list[Problem] = []
    assert slices({SLICES: text}, problems) == want
    assert problems == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "rack", "rack=", "=4", "rack=x", "rack=0", "rack=1", "rack=-4", "rack=4.0", "rack=150001", "rack=4,"),
        *("rack=4,node=3", "rack=2,node=4", "rack=4,node=4", "rack=4,rack=2", "a=16,b=8,c=4,d=2", "rack=4=2"),
    ],
)
def test_slices_that_cannot_be_read_are_quoted(text: str) -> None:
    problems: list[Problem] = []
    assert slices({SLICES: text}, problems) == ()
    assert problems == [Problem(where=f"annotation {SLICES}", value=text, allowed=SLICES_ALLOWED)]


def test_a_level_for_itself() -> None:
    problems: list[Problem] = []
    assert level({EXCLUSIVE: " rack "}, EXCLUSIVE, problems) == "rack"
    assert level({}, EXCLUSIVE, problems) is None
    assert problems == []
    assert level({EXCLUSIVE: " "}, EXCLUSIVE, problems) is None
    allowed = "the name of a topology level, or a node label key"
    assert problems == [Problem(where=f"annotation {EXCLUSIVE}", value=" ", allowed=allowed)]


def test_roles() -> None:
    problems: list[Problem] = []
    assert role({ROLE: "prefill", REQUIRED: "rack"}, problems) == ("prefill", "rack")
    assert role({ROLE: "prefill"}, problems) == ("prefill", None)
    assert role({}, problems) == ("", None)
    assert problems == []
    assert role({REQUIRED: "rack"}, problems) == ("", None)
    allowed = "only beside bayplan.dev/role"
    assert problems == [Problem(where=f"annotation {REQUIRED}", value="rack", allowed=allowed)]
