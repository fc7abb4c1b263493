"""Two rules for Bayplan. Each is a function of a `scheduler.scoring.own_rules.Question`: all nodes at once."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scheduler.scoring.own_rules import Question

SERVICE = "example.com/service"
"""Label of nodes that are about to be serviced: `planned`."""

INLET = "example.com/inlet-celsius"
"""Label with the temperature of the air that a node gets."""

USUAL_INLET = 24.0


def keep_off_service(question: "Question") -> npt.NDArray[np.bool_]:
    """A filter: pods with GPUs stay off nodes that are about to be serviced; others end soon or can move."""
    if "nvidia.com/gpu" not in question.pod.requests:
        return np.ones(len(question.names), dtype=np.bool_)
    return ~question.has_label(SERVICE, "planned")


def prefer_cool(question: "Question") -> npt.NDArray[np.float64]:
    """A score: of nodes that are equal otherwise, the one with the coolest air."""
    return -question.number(INLET, absent=USUAL_INLET)
