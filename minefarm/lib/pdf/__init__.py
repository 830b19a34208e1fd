"""PDF documents by ReportLab: one frame, one set of fonts, text that is always text.

    story = [para("Invoice", "title"), table(["Item", "Amount"], [["Energy", "1.00"]], [120 * mm, 50 * mm], right=(1,))]
    data = build(story, title="INV-2026-00001", footer="MineFarm")

The same story gives the same bytes, whenever it is built. Nothing here reads a database or a setting.
"""

from minefarm.lib.pdf.charts import bars
from minefarm.lib.pdf.fonts import BOLD, REGULAR, clean, in_reading_order
from minefarm.lib.pdf.frame import CONTENT_WIDTH, MARGIN, build
from minefarm.lib.pdf.logo import can_be_drawn, emblem, picture
from minefarm.lib.pdf.parts import GREEN, GREY, INK, STYLES, Text, para, table

__all__ = [
    "BOLD",
    "CONTENT_WIDTH",
    "GREEN",
    "GREY",
    "INK",
    "MARGIN",
    "REGULAR",
    "STYLES",
    "Text",
    "bars",
    "build",
    "can_be_drawn",
    "clean",
    "emblem",
    "in_reading_order",
    "para",
    "picture",
    "table",
]
