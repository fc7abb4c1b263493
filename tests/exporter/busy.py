"""A report that has something of everything."""

from scheduler.exporter.node import Held
from scheduler.exporter.reading import Ecc, MigInstance, MigMode, MigProfile
from scheduler.exporter.report import report
from scheduler.kube.wire_report import Report
from tests.exporter.made import CLIQUE, device, node, pairs, switched

PROFILE = MigProfile(
    id=19,
    name="1g.10gb",
    most=7,
    slices=1,
    memory_mib=9856,
    sm=14,
    decoders=0,
    encoders=0,
    jpeg=0,
    ofa=0,
    copy_engines=1,
    size=1,
    starts=(0, 1, 2),
)


def busy_report() -> Report:
    """Three GPUs: one whole and held, one whose link and memory are faulty, one divided."""
    made = MigInstance(gpu_instance=1, profile_id=19, profile="1g.10gb", start=0, size=1, uuid="MIG-a")
    return report(
        node(
            device(0, nvlinks=switched(True, True), fabric=CLIQUE),
            device(1, nvlinks=switched(True, False), fabric=CLIQUE, ecc=Ecc(corrected=0, uncorrected=3)),
            device(
                2,
                nvlinks=switched(True, True),
                fabric=CLIQUE,
                mig_mode=MigMode(current=True, pending=True),
                mig_profiles=(PROFILE,),
                instances=(made,),
            ),
            pairs=pairs(3),
            held=(Held(namespace="red", pod="a", container="c", resource="nvidia.com/gpu", ids=("GPU-0", "MIG-a")),),
        )
    )
