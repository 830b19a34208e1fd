"""The page: margins, a footer with the page's number of how many, and bytes that depend on the content alone."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate

from minefarm.lib.pdf.fonts import REGULAR, clean, in_reading_order, register
from minefarm.lib.pdf.parts import GREEN, GREY, RULE

MARGIN = 18 * mm
FOOT = 20 * mm
CONTENT_WIDTH = A4[0] - 2 * MARGIN
SMALL = 7.0


def build(story: Sequence[Flowable], *, title: str, footer: str = "", author: str = "MineFarm") -> bytes:
    """The document's bytes; `title` stands at the top from the second page on, `footer` at the bottom of every page."""
    register()
    out = BytesIO()
    document = BaseDocTemplate(
        out,
        pagesize=A4,
        title=clean(title),
        author=clean(author),
        creator="MineFarm",
        producer="MineFarm",
        invariant=1,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
    )
    room = Frame(
        MARGIN,
        FOOT,
        CONTENT_WIDTH,
        A4[1] - FOOT - 16 * mm,
        leftPadding=0,
        rightPadding=0,
        topPadding=0,
        bottomPadding=0,
    )
    document.addPageTemplates([PageTemplate("page", [room])])
    words = (in_reading_order(clean(title)), in_reading_order(clean(footer)))

    def canvas(*args: Any, **kwargs: Any) -> Counting:
        return Counting(*args, words=words, **kwargs)

    document.build(list(story), canvasmaker=canvas)
    return out.getvalue()


class Counting(Canvas):
    """Keeps every page until the end, when it is known how many there are."""

    def __init__(self, *args: Any, words: tuple[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._words = words
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802  ReportLab's name
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined,unused-ignore]  # ReportLab's documented trick

    def save(self) -> None:
        for number, page in enumerate(self._kept, start=1):
            self.__dict__.update(page)
            self._furnish(number, len(self._kept))
            super().showPage()
        super().save()

    def _furnish(self, number: int, pages: int) -> None:
        title, footer = self._words
        self.setFillColor(GREEN)
        self.rect(0, A4[1] - 3 * mm, A4[0], 3 * mm, stroke=0, fill=1)
        self.setStrokeColor(RULE)
        self.setLineWidth(0.6)
        self.line(MARGIN, FOOT - 4 * mm, A4[0] - MARGIN, FOOT - 4 * mm)
        self.setFont(REGULAR, SMALL)
        self.setFillColor(GREY)
        place = f"Page {number} of {pages}"
        room = CONTENT_WIDTH - pdfmetrics.stringWidth(place, REGULAR, SMALL) - 6 * mm
        self.drawString(MARGIN, FOOT - 9 * mm, cut(footer, room))
        self.drawRightString(A4[0] - MARGIN, FOOT - 9 * mm, place)
        if number > 1:
            self.drawString(MARGIN, A4[1] - 11 * mm, cut(title, CONTENT_WIDTH))


def cut(text: str, room: float) -> str:
    """As much of the text as there is room for."""
    if pdfmetrics.stringWidth(text, REGULAR, SMALL) <= room:
        return text
    while text and pdfmetrics.stringWidth(f"{text}…", REGULAR, SMALL) > room:
        text = text[:-1]
    return f"{text}…"
