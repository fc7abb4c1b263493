"""Queues as people read them: a tree with bars."""

from collections.abc import Iterator, Sequence

import msgspec

from scheduler.model.names import QueueName
from scheduler.model.queue import CPU
from scheduler.planning.overview.records import Amounts, QueueStand, ResourceAmounts

BAR_CELLS = (8, 32)
"""The narrowest and the widest bar, in characters."""

MILLI = 1000
MIB_OF_GIB = 1024


class Glyphs(msgspec.Struct, frozen=True, kw_only=True):
    """The characters of a drawing: what a queue uses of its own, borrows, lends, and has idle; and the branches."""

    own: str
    borrowed: str
    lent: str
    idle: str
    branch: str
    last: str
    past: str


PLAIN = Glyphs(own="#", borrowed="+", lent="=", idle=".", branch="|- ", last="`- ", past="|  ")
BLOCKS = Glyphs(own="█", borrowed="▓", lent="░", idle="·", branch="├─ ", last="└─ ", past="│  ")


def glyphs_for(encoding: str | None) -> Glyphs:
    """Blocks and lines where the terminal's encoding has them."""
    try:
        "".join(msgspec.structs.astuple(BLOCKS)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return BLOCKS


def tree_text(stands: Sequence[QueueStand], *, width: int, glyphs: Glyphs) -> str:
    """All queues as a tree, a row each, and one for each flavor, CPU and memory; what exceeds `width` is left out."""
    if not stands:
        return "There is no queue."
    rows = [_row(name, amounts, stand) for name, amounts, stand in _branches(stands, glyphs)]
    head = ["QUEUE", "", "USED", "OWNS", "BORROWS", "LENDS", "WAITING", "FAIR SHARE"]
    lines = [head, *([name, "", *cells] for (name, _, cells) in rows)]
    # What is left out first, where the terminal is narrow; what is borrowed and lent the bar shows as well.
    for spare in ((), (7,), (7, 5), (7, 5, 4), (7, 5, 4, 6)):
        kept = [at for at in range(len(head)) if at not in spare and at != 1]
        widths = {at: max(len(line[at]) for line in lines) for at in kept}
        cells = min(width - sum(widths.values()) - 2 * len(kept), BAR_CELLS[1])
        if cells >= BAR_CELLS[0]:
            break
    shown = [_line([line[at] for at in kept], [widths[at] for at in kept]) for line in lines]
    if cells >= BAR_CELLS[0]:
        bars = [" " * cells, *(bar(amounts, cells, glyphs).ljust(cells) for _, amounts, _ in rows)]
        at = widths[0]
        shown = [f"{line[:at].ljust(at)}  {drawn}{line[at:]}" for line, drawn in zip(shown, bars, strict=True)]
    legend = f"{glyphs.own} in use of its own, {glyphs.borrowed} borrowed, {glyphs.lent} lent, {glyphs.idle} idle"
    units = "GPUs, cores or GiB" if any(stand.resources for stand in stands) else "GPUs"
    return "\n".join([*(line.rstrip() for line in shown), "", f"Amounts are {units}. {legend}."])


def bar(amounts: Amounts, cells: int, glyphs: Glyphs) -> str:
    """What of a queue's quota is in use, lent and idle, and what is borrowed besides; all of it is `cells` wide.

    Whatever there is gets a cell at least.
    """
    own = min(amounts.used_milli_gpu, amounts.nominal_milli_gpu)
    lent = min(amounts.lent_milli_gpu, amounts.nominal_milli_gpu - own)
    parts = [own, lent, amounts.nominal_milli_gpu - own - lent, amounts.borrowed_milli_gpu]
    whole = sum(parts)
    if not whole:
        return ""
    lengths = [max(cells * part // whole, int(part > 0)) for part in parts]
    while sum(lengths) != cells:
        step = 1 if sum(lengths) < cells else -1
        # The part that is drawn too short by most, or too long.
        off = [step * (cells * part - whole * length) for part, length in zip(parts, lengths, strict=True)]
        at = max((i for i in range(len(parts)) if lengths[i] + step > 0 and parts[i]), key=off.__getitem__)
        lengths[at] += step
    drawn = (glyphs.own, glyphs.lent, glyphs.idle, glyphs.borrowed)
    return "".join(glyph * length for glyph, length in zip(drawn, lengths, strict=True))


def _branches(stands: Sequence[QueueStand], glyphs: Glyphs) -> Iterator[tuple[str, Amounts, QueueStand | None]]:
    below: dict[QueueName | None, list[QueueStand]] = {}
    for stand in stands:
        below.setdefault(stand.parent, []).append(stand)

    def walk(above: QueueName | None, lead: str) -> Iterator[tuple[str, Amounts, QueueStand | None]]:
        beside = below.get(above, [])
        for stand in beside:
            ends = stand is beside[-1]
            mark = "" if above is None else glyphs.last if ends else glyphs.branch
            yield lead + mark + stand.name, stand.total, stand
            deeper = lead if above is None else lead + ("   " if ends else glyphs.past)
            for kind in (*stand.flavors, *(_scaled(amounts) for amounts in stand.resources)):
                stem = glyphs.past if below.get(stand.name) else "   "
                yield f"{deeper}{stem}[{kind.flavor}]", kind, None
            yield from walk(stand.name, deeper)

    return walk(None, "")


def _scaled(amounts: ResourceAmounts) -> Amounts:
    """CPU or memory drawn as GPUs are: thousandths of a core, or of a GiB. Nobody says what of it is lent or waits."""
    name, unit = ("cores", MILLI) if amounts.resource == CPU else ("GiB memory", MIB_OF_GIB)
    nominal, used, borrowed = (amount * MILLI // unit for amount in (amounts.nominal, amounts.used, amounts.borrowed))
    return Amounts(flavor=name, nominal_milli_gpu=nominal, used_milli_gpu=used, borrowed_milli_gpu=borrowed)


def _row(name: str, amounts: Amounts, stand: QueueStand | None) -> tuple[str, Amounts, list[str]]:
    waiting = number(amounts.pending_milli_gpu)
    if stand is not None and stand.pending_workloads:
        waiting = f"{waiting} in {stand.pending_workloads}"
    numbers = (
        amounts.used_milli_gpu,
        amounts.nominal_milli_gpu,
        amounts.borrowed_milli_gpu,
        amounts.lent_milli_gpu,
    )
    return name, amounts, [*map(number, numbers), waiting, number(amounts.fair_share_milli_gpu)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (c.ljust(w) if not at else c.rjust(w) for at, (c, w) in enumerate(zip(cells, widths, strict=True)))
    return "  ".join([first, *others])


def number(milli_gpu: int) -> str:
    """An amount of GPUs as a figure: `20`, `2.286`, and `-` for none."""
    return f"{milli_gpu / MILLI:.10g}" if milli_gpu else "-"
