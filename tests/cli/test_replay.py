"""`bayplan replay` as it is typed."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from scheduler.cli.main import main

NODES = """sn,cpu_milli,memory_mib,gpu,model
b,32000,65536,2,T4
a,32000,65536,2,G2
"""

PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
whole,4000,1024,1,1000,
half,4000,1024,1,500,
other-half,4000,1024,1,500,
only-t4,4000,1024,1,1000,T4|V100
cpu-only,8000,1024,0,0,
too-big,4000,1024,2,1000,
last,4000,1024,1,1000,G2|T4
"""


class Files:
    """A folder with a trace."""

    def __init__(self, folder: Path) -> None:
        self.nodes, self.pods, self.out = folder / "nodes.csv", folder / "pods.csv", folder / "out.csv"
        self.nodes.write_text(NODES, encoding="utf-8")
        self.pods.write_text(PODS, encoding="utf-8")

    def arguments(self, *more: str) -> list[str]:
        files = ["--nodes", str(self.nodes), "--pods", str(self.pods), "--out", str(self.out)]
        return ["replay", "--format", "openb", *files, *more]

    def placements(self) -> list[list[str]]:
        with self.out.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_placements_and_figures(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = tmp_path / "curve.svg"
    assert main(files.arguments("--policy", "mostallocated", "--json", "--plot", str(drawing))) == 0
    assert files.placements() == [
        ["pod", "node", "devices"],
        ["whole", "a", "0"],
        ["half", "a", "1"],
        ["other-half", "a", "1"],
        ["only-t4", "b", "0"],
        ["cpu-only", "a", ""],
        ["too-big", "", ""],
        ["last", "b", "1"],
    ]
    answer = json.loads(capsys.readouterr().out)
    assert answer.pop("elapsed_s") >= 0
    last = answer.pop("curve")[-1]
    assert last == {"pods": 7, "arrived_milli_gpu": 6000, "allocated_milli_gpu": 4000, "fragmented_milli_gpu": 0}
    assert answer == {
        "format": "openb",
        "policy": "MostAllocated",
        "nodes": 2,
        "pods": 7,
        "placed": 6,
        "dropped": 1,
        "capacity_milli_gpu": 4000,
        "arrived_percent": 150.0,
        "allocated_percent": 100.0,
        "fragmented_percent": 0.0,
    }
    assert ET.parse(drawing).getroot().tag.endswith("svg")  # noqa: S314  our own file


def test_people_read_lines_and_the_bar_is_on_stderr(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files.arguments()) == 0
    said = capsys.readouterr()
    assert said.out.startswith("policy:         LeastFragmentation\n")
    assert "pods placed:    6 of 7" in said.out
    assert "7/7" in said.err


@pytest.mark.parametrize(
    ("more", "want"),
    [
        (["--policy", "Best"], "--policy is 'Best'; allowed: TopologyPreserving, MostAllocated"),
        (["--format", "philly"], "--format is 'philly'; allowed: openb"),
        (["--plot", "a.pdf"], "--plot is 'a.pdf'; allowed: a file name that ends in .svg"),
        (["--nodes", "missing.csv"], "cannot read 'missing.csv': No such file or directory"),
    ],
)
def test_bad_arguments(files: Files, more: list[str], want: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files.arguments(*more)) == 2
    said = capsys.readouterr().err
    assert want in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ("1,500", "1,0", "line 3: gpu_milli is '0'; allowed: 1 to 1000 where num_gpu is above 0"),
        ("8000", "-1", "line 6: cpu_milli is '-1'; allowed: a whole number from 0 to"),
        ("8000", "nan", "line 6: cpu_milli is 'nan'; allowed: a whole number from 0 to"),
        ("only-t4", "half", "line 5: the name 'half' stands twice; allowed: once"),
        ("only-t4", "", "line 5: name is ''; allowed: a name"),
        ("T4|V100", "T4,V100", "line 5: 7 cells; allowed: 6, as in the first line"),
        ("num_gpu", "gpus", "line 1: the columns are"),
        (PODS, "", "empty; the first line has to name the columns"),
    ],
)
def test_bad_pods(files: Files, old: str, new: str, want: str, capsys: pytest.CaptureFixture[str]) -> None:
    files.pods.write_text(PODS.replace(old, new, 1), encoding="utf-8")
    assert main(files.arguments()) == 2
    said = capsys.readouterr().err
    assert f"pods.csv: {want}" in said
    assert said.count("\n") == 1


def test_nodes_without_gpus_alone_are_refused(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\na,1000,1024,0,\n", encoding="utf-8")
    assert main(files.arguments()) == 2
    assert "no node with a GPU is listed" in capsys.readouterr().err


def test_a_folder_that_is_not_there(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files.arguments("--out", str(tmp_path / "no" / "out.csv"))) == 1
    assert "cannot write" in capsys.readouterr().err
