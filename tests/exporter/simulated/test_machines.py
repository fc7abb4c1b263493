import subprocess
import sys

import pytest

from scheduler.exporter.simulated.machines import UnknownMachineError, machine, machine_names
from scheduler.scoring.devices.machines import machine_types
from scheduler.scoring.sharing.mig_tables import mig_model


def test_what_can_be_simulated_are_machine_types() -> None:
    assert set(machine_names()) <= set(machine_types())
    assert len(machine_names()) >= 12


@pytest.mark.parametrize("name", machine_names())
def test_lanes_add_up_to_the_nvlinks_of_the_machine_type(name: str) -> None:
    known, made = machine_types()[name], machine(name)
    assert len(made.gpus) == known.gpus
    for a, lanes in enumerate(made.lanes):
        for b in range(known.gpus):
            if made.switched:
                both = min(sum(lane.up for lane in lanes), sum(lane.up for lane in made.lanes[b]))
                assert known.nvlinks[a][b] == (0 if a == b else both)
            else:
                assert known.nvlinks[a][b] == sum(lane.peer == b for lane in lanes)


@pytest.mark.parametrize("name", [name for name in machine_names() if not machine(name).switched])
def test_both_ends_of_a_direct_nvlink_name_each_other(name: str) -> None:
    lanes = machine(name).lanes
    for gpu, own in enumerate(lanes):
        for link, lane in enumerate(own):
            assert lane.peer is not None
            back = lanes[lane.peer][lane.peer_link]
            assert (back.peer, back.peer_link) == (gpu, link)


@pytest.mark.parametrize("name", machine_names())
def test_a_gpu_has_the_mig_profiles_that_its_product_is_known_for(name: str) -> None:
    for gpu in machine(name).gpus:
        known = mig_model(gpu.product)
        assert {(p.id, p.name, p.starts) for p in gpu.profiles} == (
            {(p.id, p.name, p.starts) for p in known.profiles} if known else set()
        )


def test_hyphens_are_as_good_as_underscores() -> None:
    assert machine("hgx-h100") == machine("hgx_h100")


def test_an_unknown_machine_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownMachineError, match=r'machine "abacus" is unknown; allowed: a100_pcie_x4_bridged, '):
        machine("abacus")


def test_simulating_imports_no_solver_and_none_of_the_core() -> None:
    code = (
        "import sys; from scheduler.exporter.simulated.backend import FixtureBackend;"
        "FixtureBackend('hgx_h100').open();"
        "heavy = {'numpy', 'ortools', 'scheduler.planning', 'scheduler.state', 'scheduler.scoring.devices', 'pynvml'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
