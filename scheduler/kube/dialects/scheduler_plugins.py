"""scheduler-plugins (coscheduling), and Koordinator's use of the same PodGroup.

The label names a PodGroup of scheduling.x-k8s.io or scheduling.sigs.k8s.io, which says how many pods are enough. An
older pair of labels says so itself.
"""

from functools import partial

from scheduler.kube.dialects.claims import GroupKeys, claim
from scheduler.kube.dialects.record import Dialect, Key

PREFIX = "pod-group/"

GROUP = (
    Key(
        place="label", key="scheduling.x-k8s.io/pod-group", means="the gang; its PodGroup says how many pods are enough"
    ),
    Key(
        place="label",
        key="pod-group.scheduling.sigs.k8s.io",
        means="the gang; its PodGroup says how many pods are enough",
    ),
    Key(place="label", key="pod-group.scheduling.sigs.k8s.io/name", means="the gang"),
)
LEAST = Key(place="label", key="pod-group.scheduling.sigs.k8s.io/min-available", means="how many pods are enough")


GANG = GroupKeys(prefix=PREFIX, name=GROUP, least=(LEAST,))

DIALECT = Dialect(name="scheduler-plugins", keys=(*GROUP, LEAST), together=partial(claim, GANG))
