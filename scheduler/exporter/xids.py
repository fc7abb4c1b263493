"""What the driver's errors (Xids) say of a GPU's health.

Numbers and what they stand for: NVIDIA, "XID Errors" (docs.nvidia.com/deploy/xid-errors). Which ones an application
causes rather than a fault of the GPU: the list that NVIDIA's own device plugin passes over (k8s-device-plugin v0.20.0,
internal/rm/health.go), which takes every other one for a fault, as is done here.
"""

from collections.abc import Mapping

IGNORED: frozenset[int] = frozenset({13, 31, 43, 45, 68, 109})
"""Faults of applications: the GPU goes on, and the process that caused one is ended."""

TOLD_OTHERWISE: frozenset[int] = frozenset({154})
"""The recovery action changed: the action itself is read, and is taken back when it is done."""

UNHEALTHY: Mapping[int, str] = {
    48: "an uncorrectable memory error",
    62: "its microcontroller halted",
    64: "a faulty row of memory could not be replaced",
    74: "a fatal error of an NVLink",
    79: "the GPU fell off the bus",
    95: "a memory error that was not contained",
    119: "its system processor (GSP) does not answer",
    120: "its system processor (GSP) failed",
    140: "an uncorrectable ECC error",
    143: "the GPU could not be initialised",
}
"""The GPU cannot be relied on until it is reset."""

SUSPECT: Mapping[int, str] = {
    61: "its microcontroller stopped for a moment",
    63: "a faulty row of memory is replaced at the next reset",
    92: "many memory errors that were corrected",
    94: "a memory error that was contained",
    121: "errors of the link to the CPU that were corrected",
    **dict.fromkeys(range(144, 151), "an error of an NVLink"),
}
"""The GPU goes on, and should be looked at."""
