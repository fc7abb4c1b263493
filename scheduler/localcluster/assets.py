"""Where the control plane's Go module and the manifests lie: in the checkout, or inside an installed wheel."""

from pathlib import Path

from scheduler.localcluster.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]
_DATA = Path(__file__).resolve().parent / "data"


def _find(in_checkout: str, in_wheel: str, proof: str) -> Path:
    for folder in (_PACKAGE.parent / in_checkout, _PACKAGE / "_assets" / in_wheel):
        if (folder / proof).is_file():
            return folder
    raise InputError(f"cannot find {in_checkout}/{proof}, neither in a checkout nor in the installed package")


def controlplane_module() -> Path:
    """The folder of the Go module that builds the control plane.

    Raises:
        InputError: the installation has none.
    """
    return _find("tools/controlplane", "controlplane", "go.mod")


def manifests() -> Path:
    """The folder of the kustomize manifests.

    Raises:
        InputError: the installation has none.
    """
    return _find("manifests", "manifests", "base/kustomization.yaml")


def package_parent() -> Path:
    """The folder that must be on the import path for `python -m scheduler`."""
    return _PACKAGE.parent


def data_file(name: str) -> Path:
    """A file of this package's own data."""
    return _DATA / name
