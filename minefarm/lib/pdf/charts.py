"""A chart of bars, for what was used on each day."""

from collections.abc import Sequence
from decimal import Decimal
from math import ceil, floor, log10

from reportlab.graphics.shapes import Drawing, Line, Rect, String

from minefarm.lib.pdf.fonts import REGULAR, clean, in_reading_order, register
from minefarm.lib.pdf.parts import GREEN, GREY, RULE

LEFT, BOTTOM, TOP, SIZE = 42.0, 16.0, 8.0, 6.5
LABELS = 16


def bars(points: Sequence[tuple[str, Decimal | None]], *, width: float, height: float, unit: str = "kWh") -> Drawing:
    """One bar per point under its label; what is not known has no bar, but a dash at the bottom."""
    register()
    drawing = Drawing(width, height)
    top = _round_up(max((value for _, value in points if value is not None), default=Decimal(0)))
    room = height - BOTTOM - TOP
    for quarter in range(5):
        y = BOTTOM + room * quarter / 4
        drawing.add(Line(LEFT, y, width, y, strokeColor=RULE, strokeWidth=0.5))
        drawing.add(_word(LEFT - 4, y - 2.2, _figure(top * quarter / 4), "end"))
    drawing.add(_word(0, height - 5, unit, "start"))
    step = (width - LEFT) / max(len(points), 1)
    every = ceil(len(points) / LABELS) or 1
    for number, (label, value) in enumerate(points):
        x = LEFT + step * number
        if value is None:
            drawing.add(_word(x + step / 2, BOTTOM + 1, "–", "middle"))
        elif value > 0 and top:
            tall = float(room) * float(value / top)
            drawing.add(
                Rect(x + step * 0.15, BOTTOM, step * 0.7, tall, fillColor=GREEN, strokeColor=None, strokeWidth=0)
            )
        if number % every == 0:
            drawing.add(_word(x + step / 2, 4, label, "middle"))
    return drawing


def _word(x: float, y: float, text: str, anchor: str) -> String:
    said = in_reading_order(clean(text))
    return String(x, y, said, fontName=REGULAR, fontSize=SIZE, fillColor=GREY, textAnchor=anchor)


def _round_up(value: Decimal) -> Decimal:
    """The next of 1, 2, 4, 5, 8 times a power of ten, so that quarters of it are round too."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(10) ** floor(log10(value))
    return next(power * step for step in (1, 2, 4, 5, 8, 10) if power * step >= value)


def _figure(value: Decimal) -> str:
    return f"{value.normalize():,f}" if value < 10 else f"{value:,.0f}"
