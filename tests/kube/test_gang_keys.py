"""Own keys on how much of a gang is enough, and on what may be evicted."""

from collections.abc import Mapping

import pytest

from scheduler.kube.translate_values import ROLE_MIN_ALLOWED, gang_claim, preemptible
from scheduler.model.workload import GangClaim, Problem, RoleMinimums

GANG = {"bayplan.dev/gang": "g"}
SIZE, LEAST, ROLES = "bayplan.dev/gang-size", "bayplan.dev/gang-min", "bayplan.dev/role-min"


def claimed(annotations: Mapping[str, str]) -> tuple[GangClaim | None, list[str]]:
    problems: list[Problem] = []
    return gang_claim(GANG, annotations, problems), [str(problem) for problem in problems]


def test_how_many_pods_are_enough() -> None:
    assert claimed({SIZE: "4", LEAST: "2"}) == (GangClaim(name="g", size=4, least=2), [])
    assert claimed({LEAST: "2"}) == (GangClaim(name="g", least=2), [])
    assert claimed({SIZE: "4", LEAST: "4"}) == (GangClaim(name="g", size=4, least=4), [])


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("leader=1", (("leader", 1),)),
        (" worker = 2 , leader = 1 ", (("leader", 1), ("worker", 2))),
    ],
)
def test_how_many_pods_of_a_role_are_enough(text: str, want: RoleMinimums) -> None:
    assert claimed({SIZE: "4", ROLES: text}) == (GangClaim(name="g", size=4, role_least=want), [])


@pytest.mark.parametrize("text", ["", "leader", "leader=", "=1", "leader=0", "leader=x", "a=1,a=2", "a=1,", "a=150001"])
def test_role_minimums_that_cannot_be_read_are_quoted(text: str) -> None:
    assert claimed({ROLES: text}) == (
        GangClaim(name="g"),
        [f"annotation {ROLES} is {text!r}; allowed: {ROLE_MIN_ALLOWED}"],
    )


@pytest.mark.parametrize(
    ("annotations", "sentence"),
    [
        ({LEAST: "0"}, f"annotation {LEAST} is '0'; allowed: a whole number from 1 to 150000"),
        ({SIZE: "4", LEAST: "5"}, f"annotation {LEAST} is '5'; allowed: at most {SIZE}, 4"),
        (
            {SIZE: "2", ROLES: "a=1,b=2"},
            f"annotation {ROLES} is 'a=1,b=2'; allowed: roles that need no more pods together than {SIZE}, 2",
        ),
        (
            {SIZE: "4", LEAST: "2", ROLES: "a=1,b=2"},
            f"annotation {ROLES} is 'a=1,b=2'; allowed: roles that need no more pods together than {LEAST}, 2",
        ),
    ],
)
def test_minimums_beyond_the_gang_are_refused(annotations: Mapping[str, str], sentence: str) -> None:
    claim, said = claimed(annotations)
    assert said == [sentence]
    assert claim is not None
    assert (claim.role_least, claim.least) in (((), None), ((), 2))


@pytest.mark.parametrize("key", [SIZE, LEAST, ROLES])
def test_what_is_said_of_no_gang_is_refused(key: str) -> None:
    problems: list[Problem] = []
    assert gang_claim({}, {key: "2"}, problems) is None
    allowed = "only beside the label bayplan.dev/gang with the gang's name"
    assert problems == [Problem(where=f"annotation {key}", value="2", allowed=allowed)]


@pytest.mark.parametrize(("text", "want"), [(None, True), ("true", True), ("false", False)])
def test_what_may_be_evicted(text: str | None, want: bool) -> None:
    problems: list[Problem] = []
    assert preemptible({} if text is None else {"bayplan.dev/preemptible": text}, problems) is want
    assert problems == []


@pytest.mark.parametrize("text", ["", "no", "False", "0"])
def test_what_says_neither_is_quoted(text: str) -> None:
    problems: list[Problem] = []
    preemptible({"bayplan.dev/preemptible": text}, problems)
    assert problems == [Problem(where="annotation bayplan.dev/preemptible", value=text, allowed="true or false")]
