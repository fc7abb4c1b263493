from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.localcluster import fleet as fleets
from scheduler.localcluster.errors import InputError
from scheduler.localcluster.machines import machines, profiles
from scheduler.localcluster.slices import NoRoomError, divide


def written(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_fleet_has_24_nodes_of_three_kinds() -> None:
    fleet = fleets.default()
    assert fleet.nodes == 24
    kinds = Counter(g.machine for g in fleet.groups for _ in range(g.count))
    assert kinds == {"hgx_h100": 8, "dgx_a100": 8, "l40s_x4": 8}
    assert {g.rack for g in fleet.groups if g.machine == "hgx_h100"} == {"rack-a", "rack-b"}
    assert sum(g.count for g in fleet.groups if g.mig) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("groups: [{name: a, count: 1, machine: hgx_h100, gpus: 3}]", "unknown field `gpus`", id="key"),
        pytest.param("nodes: 3", "unknown field `nodes`", id="top key"),
        pytest.param("groups: [{name: a, count: 1, machine: hgx}]", 'machine "hgx" is unknown', id="machine"),
        pytest.param("groups: [{name: a, count: x, machine: hgx_h100}]", "Expected `int`", id="type"),
        pytest.param("groups: [{name: a, count: -1, machine: hgx_h100}]", "count is -1", id="negative"),
        pytest.param("groups: [{name: A_b, count: 1, machine: hgx_h100}]", "a name is", id="name"),
        pytest.param("groups: [{name: a, count: 1}]", "cpu and memoryGiB", id="no machine, no size"),
        pytest.param("groups: [{name: a, count: 1, dra: true}]", "no GPUs to claim", id="claims of nothing"),
        pytest.param("groups: [{name: a, count: 1, shared: true}]", "shared but no machine", id="shares of nothing"),
        pytest.param(
            "groups: [{name: a, count: 1, machine: dgx_a100, shared: true}]", "without dra", id="shares without claims"
        ),
        pytest.param(
            "groups: [{name: a, count: 1, machine: l40s_x4, mig: {1g.10gb: 1}}]", "cannot be divided", id="no MIG"
        ),
        pytest.param(
            "groups: [{name: a, count: 1, machine: hgx_h100, mig: {9g.1gb: 1}}]", '"9g.1gb" is unknown', id="profile"
        ),
        pytest.param(
            "groups: [{name: a, count: 1, machine: hgx_h100, mig: {7g.80gb: 9}}]", "8 GPUs have no room", id="too many"
        ),
        pytest.param(
            "groups: [{name: a, count: 1, machine: hgx_h100}, {name: a, count: 1, machine: hgx_h100}]",
            '"a" stands there more than once',
            id="twice",
        ),
        pytest.param("groups: [{name: a, count: 30000, machine: hgx_h100}]", "20000 are allowed", id="huge"),
        pytest.param(
            "groups: [{name: a, count: 1, machine: hgx_h100, taints: [{key: x, effect: Never}]}]",
            'taint effect "Never"',
            id="taint",
        ),
        pytest.param("groups: [", "cannot read the fleet file", id="no YAML"),
        pytest.param("[]", "Expected `object`", id="a list"),
        pytest.param("", "Expected `object`", id="empty"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=r"fleet\.yaml") as refused:
        fleets.read(written(tmp_path, text))
    assert said in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the fleet file"):
        fleets.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("wanted", "gpus"),
    [
        pytest.param({"1g.10gb": 14}, [7] * 7 + [6] * 7, id="seven a GPU, the last GPUs first"),
        pytest.param({"3g.40gb": 1, "4g.40gb": 1}, [7, 7], id="4g must begin at 0, so 3g goes behind it"),
        pytest.param({"3g.40gb": 2, "1g.10gb": 1}, [7, 7, 6], id="3g + 3g leave no room for 1g"),
        pytest.param({"2g.20gb": 3, "1g.10gb": 1}, [7] * 4, id="three 2g leave unit 6"),
    ],
)
def test_slices_go_on_few_gpus(wanted: dict[str, int], gpus: list[int]) -> None:
    assert sorted(s.gpu for s in divide(machines()["dgx_a100"], wanted)) == sorted(gpus)


NAMES = sorted(profiles(machines()["dgx_a100"]))


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 20), max_size=4))
def test_slices_are_what_was_asked_for_and_never_overlap(wanted: dict[str, int]) -> None:
    machine = machines()["dgx_a100"]
    try:
        made = divide(machine, wanted)
    except NoRoomError:
        return
    assert Counter(s.profile for s in made) == +Counter(wanted)
    units = [(s.gpu, unit) for s in made for unit in range(s.start, s.start + s.size)]
    assert len(units) == len(set(units))
    assert all(s.start in profiles(machine)[s.profile].starts and s.gpu < machine.gpus for s in made)
