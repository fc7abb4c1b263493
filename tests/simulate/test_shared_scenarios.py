"""The scenarios that are kept beside the checkout: passed, or refused by the name of what is not supported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
SCENARIOS = sorted((SHARED / "scenarios").glob("*.yaml"))
CHECKER = SHARED / "tools" / "check_scenario"

REFUSED = {
    "lent-quota-comes-back": "queues[1].parent",
    "surplus-first": "queues[1].parent",
}
"""Scenarios of features that are not there, and the key that is named."""

pytestmark = pytest.mark.skipif(not SCENARIOS, reason="no scenarios lie beside this checkout")


@pytest.mark.parametrize("path", [p for p in SCENARIOS if p.stem not in REFUSED], ids=lambda path: path.stem)
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


@pytest.mark.parametrize("path", [p for p in SCENARIOS if p.stem in REFUSED], ids=lambda path: path.stem)
def test_what_is_not_supported_is_refused_by_name(path: Path) -> None:
    command = [sys.executable, "-m", "scheduler", "simulate", str(path), "--json"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert shown.stderr.count("\n") == 1
    assert shown.stderr.startswith(f"bayplan: {path}: {REFUSED[path.stem]}: ")
    assert "not supported" in shown.stderr
