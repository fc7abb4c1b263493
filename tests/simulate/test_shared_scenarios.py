"""The scenarios that are kept beside the checkout pass, by the checker that is kept with them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
SCENARIOS = sorted((SHARED / "scenarios").glob("*.yaml"))
CHECKER = SHARED / "tools" / "check_scenario"

pytestmark = pytest.mark.skipif(not SCENARIOS, reason="no scenarios lie beside this checkout")


@pytest.mark.long
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_independent_checker_passes(path: Path) -> None:
    bayplan = f"{sys.executable} -m scheduler"
    checked = subprocess.run(
        [sys.executable, str(CHECKER), "--bayplan", bayplan, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == "1 passed, 0 failed\n"
