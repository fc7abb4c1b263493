import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = ("rpc/bayplan", "exporter/podresources")
GENERATED = tuple(f"{name}{ending}" for name in PROTOS for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"))


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command of `make proto` writes, in a folder of its own."""
    folder = tmp_path_factory.mktemp("proto")
    recipe = (ROOT / "Makefile").read_text().partition("\nproto:")[2].partition("\n\t")[2].partition("\n")[0]
    command = recipe.removeprefix("@$(BIN)/python ").replace("_out=.", f"_out={folder}").split()
    assert command[:2] == ["-m", "grpc_tools.protoc"]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    return folder / "scheduler"


@pytest.mark.parametrize("name", GENERATED)
def test_the_committed_code_is_what_make_proto_writes(regenerated: Path, name: str) -> None:
    committed = (ROOT / "scheduler" / name).read_text()
    assert committed == (regenerated / name).read_text(), "run `make proto` and commit what it writes"
