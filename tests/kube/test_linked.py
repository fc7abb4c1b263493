import json

import pytest

from scheduler.kube.translate_node import read_report


def report(*, gpus: int, pairs: list[tuple[int, int]], nvswitch: bool = False) -> bytes:
    devices = [{"index": i, "uuid": f"GPU-{i}", "model": "A100", "health": {"state": "Healthy"}} for i in range(gpus)]
    links = [{"a": a, "b": b, "type": "NVLink", "count": 12} for a, b in pairs]
    links += [{"a": 0, "b": 1, "type": "PCIe", "pcieLevel": "PIX"}]
    status = {"devices": devices, "links": links, "nvswitch": nvswitch}
    return json.dumps({"metadata": {"name": "n"}, "status": status}).encode()


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        pytest.param(report(gpus=4, pairs=[], nvswitch=True), True, id="a switch connects all"),
        pytest.param(report(gpus=3, pairs=[(0, 1), (1, 2), (0, 2)]), True, id="every pair has links"),
        pytest.param(report(gpus=4, pairs=[(0, 1), (2, 3)]), False, id="bridged pairs"),
        pytest.param(report(gpus=2, pairs=[]), False, id="PCIe alone"),
        pytest.param(report(gpus=1, pairs=[]), False, id="a single GPU has nobody to be connected to"),
    ],
)
def test_a_node_is_linked_when_every_two_of_its_gpus_are(raw: bytes, want: bool) -> None:
    assert read_report(raw)[1].linked is want
