"""Paragraphs and tables; whatever text they are given prints as it is."""

from collections.abc import Sequence
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import Flowable, LongTable, Paragraph

from minefarm.lib.pdf.fonts import (
    BOLD,
    REGULAR,
    broken,
    clean,
    has_right_to_left,
    in_reading_order,
    markup,
    reads_from_right,
    register,
)

INK, GREY, GREEN, PALE = HexColor("#1b2a22"), HexColor("#6b7770"), HexColor("#0f6b41"), HexColor("#eef5f1")
RULE = HexColor("#d5ddd8")

_body = ParagraphStyle("body", fontName=REGULAR, fontSize=8.5, leading=12, textColor=INK, splitLongWords=1)
STYLES: dict[str, ParagraphStyle] = {
    "body": _body,
    "right": ParagraphStyle("right", _body, alignment=TA_RIGHT),
    "bold": ParagraphStyle("bold", _body, fontName=BOLD),
    "bold right": ParagraphStyle("bold right", _body, fontName=BOLD, alignment=TA_RIGHT),
    "small": ParagraphStyle("small", _body, fontSize=7.2, leading=10, textColor=GREY),
    "small right": ParagraphStyle("small right", _body, fontSize=7.2, leading=10, textColor=GREY, alignment=TA_RIGHT),
    "head": ParagraphStyle("head", _body, fontName=BOLD, fontSize=7.6, leading=10, textColor=HexColor("#ffffff")),
    "head right": ParagraphStyle(
        "head right",
        _body,
        fontName=BOLD,
        fontSize=7.6,
        leading=10,
        textColor=HexColor("#ffffff"),
        alignment=TA_RIGHT,
    ),
    "heading": ParagraphStyle("heading", _body, fontName=BOLD, fontSize=10, leading=14, textColor=GREEN),
    "title": ParagraphStyle("title", _body, fontName=BOLD, fontSize=19, leading=24, textColor=GREEN),
    "title right": ParagraphStyle(
        "title right", _body, fontName=BOLD, fontSize=19, leading=24, textColor=GREEN, alignment=TA_RIGHT
    ),
}


class Text(Flowable):
    """A paragraph of plain text that knows about letters from right to left; its lines are broken when its width is known."""

    def __init__(self, value: object, style: ParagraphStyle) -> None:
        super().__init__()
        register()
        self.text, self.style = clean(value), style
        self.laid: Paragraph | None = None
        self.laid_for = -1.0

    def wrap(self, availWidth: float, availHeight: float) -> tuple[float, float]:  # noqa: N803  ReportLab's names
        if self.laid is None or self.laid_for != availWidth:
            self.laid, self.laid_for = self._lay(availWidth), availWidth
        self.width, self.height = self.laid.wrap(availWidth, availHeight)
        return self.width, self.height

    def _lay(self, width: float) -> Paragraph:
        if not has_right_to_left(self.text):
            return Paragraph(markup(self.text), self.style)
        lines = broken(self.text, self.style.fontName, self.style.fontSize, width)
        style = self.style
        if reads_from_right(self.text) and style.alignment != TA_RIGHT:
            style = ParagraphStyle(f"{style.name} from right", style, alignment=TA_RIGHT)
        return Paragraph(markup("\n".join(in_reading_order(line) for line in lines)), style)

    def split(self, availWidth: float, availHeight: float) -> list[Flowable]:  # noqa: N803  ReportLab's names
        self.wrap(availWidth, availHeight)
        assert self.laid is not None  # noqa: S101  wrap has laid it
        return list(self.laid.split(availWidth, availHeight))

    def minWidth(self) -> float:  # noqa: N802  ReportLab's name
        return 0.0

    def draw(self) -> None:
        assert self.laid is not None  # noqa: S101  ReportLab wraps before it draws
        self.laid.drawOn(self.canv, 0, 0)


def para(value: object, style: str = "body") -> Text:
    """A paragraph of plain text; `style` is a name of STYLES."""
    return Text(value, STYLES[style])


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    widths: Sequence[float],
    *,
    right: Sequence[int] = (),
    style: Sequence[tuple[Any, ...]] = (),
) -> LongTable:
    """Rows under a head that every page repeats; columns in `right` stand at the right edge. Cells are text or Flowables."""

    def cell(value: object, column: int, name: str) -> Flowable:
        if isinstance(value, Flowable):
            return value
        return para(value, f"{name} right".removeprefix("body ") if column in right else name)

    data = [[cell(value, column, "head") for column, value in enumerate(head)]]
    data += [[cell(value, column, "body") for column, value in enumerate(row)] for row in rows]
    made = LongTable(data, colWidths=list(widths), repeatRows=1, splitByRow=1, splitInRow=1)
    made.setStyle(
        [
            ("BACKGROUND", (0, 0), (-1, 0), GREEN),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("ROWBACKGROUNDS", (0, 1), (-1, -1), [None, PALE]),
            ("LINEBELOW", (0, -1), (-1, -1), 0.6, RULE),
            ("LEFTPADDING", (0, 0), (-1, -1), 5),
            ("RIGHTPADDING", (0, 0), (-1, -1), 5),
            ("TOPPADDING", (0, 0), (-1, -1), 4),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            *style,
        ]
    )
    return made
