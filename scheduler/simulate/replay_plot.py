"""Draws a replay as SVG: allocation and fragmentation against arrivals, in percent of all GPUs."""

from collections.abc import Sequence
from html import escape

from scheduler.simulate.replay import Replay

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 56
ALLOCATED, FRAGMENTED, GRID, TEXT = "#1565c0", "#c62828", "#d0d0d0", "#202020"
STEP = 20
"""Percent from one grid line to the next."""


def plot(replayed: Replay) -> str:
    """The SVG document."""
    capacity = replayed.capacity_milli_gpu
    curve = replayed.curve
    right = max(100.0, _percent(curve[-1].arrived_milli_gpu, capacity))
    frame = _Frame(right)
    last = curve[-1]
    allocated = _percent(last.allocated_milli_gpu, capacity)
    fragmented = _percent(last.fragmented_milli_gpu, capacity)
    title = (
        f"{replayed.policy.value}: {allocated:.2f} % of {capacity // 1000} GPUs allocated, {fragmented:.2f} % in pieces"
    )
    box = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="13" fill="{TEXT}">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="26" font-size="16">{escape(title)}</text>',
        *frame.grid(),
        _line(frame, ALLOCATED, [(p.arrived_milli_gpu, p.allocated_milli_gpu) for p in curve], capacity),
        _line(frame, FRAGMENTED, [(p.arrived_milli_gpu, p.fragmented_milli_gpu) for p in curve], capacity),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Frame:
    """Where percents lie on the page; the axis of arrivals goes up to `right` percent."""

    def __init__(self, right: float) -> None:
        self.right = right

    def x(self, percent: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * percent / self.right

    def y(self, percent: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * percent / 100

    def grid(self) -> list[str]:
        lines: list[str] = []
        for percent in range(0, 101, STEP):
            y = self.y(percent)
            lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
            lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>')
        for percent in range(0, int(self.right) + 1, STEP):
            x = self.x(percent)
            lines.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{GRID}"/>')
            lines.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{percent}</text>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        lines.append(
            f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle">'
            "asked for by arrivals so far, % of all GPUs</text>"
        )
        lines.append(
            f'<text transform="translate(18 {HEIGHT / 2:.0f}) rotate(-90)" text-anchor="middle">% of all GPUs</text>'
        )
        return lines


def _line(frame: _Frame, colour: str, points: Sequence[tuple[int, int]], capacity: int) -> str:
    spots = " ".join(f"{frame.x(_percent(x, capacity)):.1f},{frame.y(_percent(y, capacity)):.1f}" for x, y in points)
    return f'<polyline points="{spots}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _legend() -> list[str]:
    names = ((ALLOCATED, "allocated"), (FRAGMENTED, "free, but not for an average request"))
    lines: list[str] = []
    for at, (colour, name) in enumerate(names):
        x = LEFT + 120 * at
        lines.append(f'<path d="M{x} 43h20" stroke="{colour}" stroke-width="3"/>')
        lines.append(f'<text x="{x + 26}" y="47">{name}</text>')
    return lines


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole
