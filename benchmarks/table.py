"""What every benchmark returns, and how it is shown: the machine's facts, one table, one JSON document."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from scheduler.localcluster.build import KUBERNETES_VERSION

Verdict = Literal["ok", "over", ""]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A budget: the value (the ratio, where `of_ratio`) is at most `most`, or at least `least`."""

    most: float | None = None
    least: float | None = None
    of_ratio: bool = False

    def holds(self, measured: float) -> bool:
        """Whether the measured figure is within the budget."""
        return (self.most is None or measured <= self.most) and (self.least is None or measured >= self.least)

    def text(self, unit: str) -> str:
        """As in "≤ 1.5 x" or "≤ 2 s"."""
        shown = "x" if self.of_ratio else unit
        sign, amount = ("≤", self.most) if self.most is not None else ("≥", self.least)
        return "" if amount is None else f"{sign} {figure(amount)} {shown}"


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured figure.

    Attributes:
        benchmark: the name under which `python -m benchmarks NAME` runs it.
        what: what was measured, with its sizes.
        value: the figure (the median, where there are repetitions), in `unit`; None where it could not be measured.
        baseline: the same of the default scheduler in the same run.
        ratio: `value / baseline`.
        limit: the budget, if there is one.
        note: one sentence for the reader, such as the range over the repetitions.
        detail: everything else that belongs into the JSON document.
    """

    benchmark: str
    what: str
    unit: str
    value: float | None
    baseline: float | None = None
    ratio: float | None = None
    limit: Limit | None = None
    note: str = ""
    detail: Mapping[str, Any] = {}

    @property
    def verdict(self) -> Verdict:
        """Whether the budget is kept; "" where there is none."""
        if self.limit is None:
            return ""
        measured = self.ratio if self.limit.of_ratio else self.value
        return "ok" if measured is not None and self.limit.holds(measured) else "over"


def ratio(value: float | None, baseline: float | None) -> float | None:
    """`value / baseline`, None where either is missing or the baseline is 0."""
    return None if value is None or not baseline else value / baseline


def figure(amount: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 1234."""
    if amount == 0:
        return "0"
    digits = max(0, 2 - _exponent(abs(amount)))
    text = f"{amount:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exponent(amount: float) -> int:
    return int(f"{amount:e}".partition("e")[2])


def machine() -> dict[str, str]:
    """Facts of this machine that the figures depend on."""
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{_memory_gib()} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kubernetes": KUBERNETES_VERSION,
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _field(path: Path, key: str) -> str:
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _memory_gib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**3


HEAD = ("BENCHMARK", "WHAT", "MEASURED", "DEFAULT", "RATIO", "BUDGET", "", "NOTE")


def cells(row: Row) -> tuple[str, ...]:
    """The row as it stands in the table."""
    unit = f" {row.unit}" if row.unit else ""
    return (
        row.benchmark,
        row.what,
        "-" if row.value is None else f"{figure(row.value)}{unit}",
        "" if row.baseline is None else f"{figure(row.baseline)}{unit}",
        "" if row.ratio is None else f"{row.ratio:.2f} x",
        "" if row.limit is None else row.limit.text(row.unit),
        row.verdict,
        row.note,
    )


def text(facts: Mapping[str, str], rows: Sequence[Row]) -> str:
    """The whole answer for people."""
    lines = [HEAD, *(cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    width = max(len(name) for name in facts) + 1
    return "\n".join([*(f"{name + ':':<{width}} {value}" for name, value in facts.items()), "", *shown])


def document(facts: Mapping[str, str], rows: Sequence[Row]) -> bytes:
    """The whole answer as JSON."""
    listed = [{**msgspec.to_builtins(row), "verdict": row.verdict} for row in rows]
    return msgspec.json.format(msgspec.json.encode({"machine": facts, "rows": listed})) + b"\n"
