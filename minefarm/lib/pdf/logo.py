"""A logo: the farm's own picture, or a mark that is drawn."""

from io import BytesIO

from reportlab.graphics.shapes import Drawing, Polygon, Rect
from reportlab.lib.colors import HexColor
from reportlab.platypus import Flowable, Image

from minefarm.lib.pdf.frame import build
from minefarm.lib.pdf.parts import GREEN


def emblem(size: float) -> Drawing:
    """A bolt on a green tile."""
    drawing = Drawing(size, size)
    drawing.add(Rect(0, 0, size, size, rx=size * 0.2, ry=size * 0.2, fillColor=GREEN, strokeColor=None))
    bolt = (0.56, 0.9, 0.22, 0.44, 0.46, 0.44, 0.4, 0.1, 0.78, 0.58, 0.53, 0.58)
    points = [part * size for part in bolt]
    drawing.add(Polygon(points, fillColor=HexColor("#ffffff"), strokeColor=None))
    return drawing


def picture(data: bytes, *, width: float, height: float) -> Flowable:
    """A PNG or JPEG within that room, not stretched."""
    return Image(BytesIO(data), width=width, height=height, kind="proportional", hAlign="LEFT")


def can_be_drawn(data: bytes) -> bool:
    """Whether it is a picture at all: a document that was issued with another can never be printed."""
    try:
        build([picture(data, width=10.0, height=10.0)], title="trial")
    except Exception:  # noqa: BLE001  whatever ReportLab and its reader of pictures raise
        return False
    return True
