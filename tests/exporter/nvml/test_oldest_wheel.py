"""All tests of this folder once more under the oldest nvidia-ml-py that the project supports.

The newest one is what the project installs. Two cannot stand side by side, so this one is installed into a folder of
its own, ahead of the other on the import path of a second test run.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = "12.570.86"
REQUIREMENT = f"""nvidia-ml-py=={OLDEST} \\
    --hash=sha256:58907de35a845abd13dcb227f18298f3b5dd94a72d04c9e594e77711e95c0b51
"""
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WRONG_FILE = "DO NOT MATCH THE HASHES"
LONG_S = 500


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the oldest wheel, from pip's cache or the package registry that pip is set up with."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip to install the oldest nvidia-ml-py with")
    folder = tmp_path_factory.mktemp("oldest")
    wanted = folder / "requirements.txt"
    wanted.write_text(REQUIREMENT, encoding="ascii")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--retries", "1", "--timeout", "15"]
    target = folder / "site"
    run = subprocess.run(
        [sys.executable, "-m", "pip", "install", *quiet, "--target", target, "--require-hashes", "-r", wanted],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_S,
    )
    assert WRONG_FILE not in run.stderr, run.stderr
    if run.returncode:
        pytest.skip(
            f"nvidia-ml-py {OLDEST} is neither in pip's cache nor to be had: {run.stderr.strip().splitlines()[-1:]}"
        )
    return target


@pytest.mark.long
@pytest.mark.timeout(2 * LONG_S)
def test_everything_holds_under_the_oldest_wheel(wheel: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(wheel), str(ROOT)])}
    env.pop("PYTEST_XDIST_WORKER", None)
    asked = "import importlib.metadata as m, pynvml; print(pynvml.__file__, m.version('nvidia-ml-py'))"
    loaded = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == [str(wheel / "pynvml.py"), OLDEST]
    quiet = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, HERE, "--ignore", __file__],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_S,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
