"""Fonts with Latin, Greek, Cyrillic, Hebrew and Arabic letters, and text as a PDF needs it: in the order of the eye.

DejaVu Sans knows no Chinese, Japanese or Korean. Such letters name one of the fonts that every PDF viewer has to stand in for
(ISO 32000-1, 9.7.5.2); the file stays small, and the viewer needs a font of its own for them.
"""

import re
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

from arabic_reshaper import ArabicReshaper
from bidi.algorithm import get_display
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD = "DejaVuSans", "DejaVuSans-Bold"
FOLDER = Path(__file__).parent / "fonts"

# C0 but the line feed, C1, and what turns the direction of text around: names come from people and machines.
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]")
RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
KANA = re.compile(r"[\u3040-\u30ff]")
EASTERN = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60]+")
CHINESE, JAPANESE, KOREAN = "STSong-Light", "HeiseiMin-W3", "HYSMyeongJo-Medium"
STRONG = re.compile(r"[^\W\d_]")


@cache
def register() -> None:
    """Read the fonts, once per process."""
    pdfmetrics.registerFont(TTFont(REGULAR, FOLDER / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(TTFont(BOLD, FOLDER / "DejaVuSans-Bold.ttf"))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    for name in (CHINESE, JAPANESE, KOREAN):
        pdfmetrics.registerFont(UnicodeCIDFont(name))
        pdfmetrics.registerFontFamily(name, normal=name, bold=name, italic=name, boldItalic=name)


@cache
def _shaper() -> ArabicReshaper:
    return ArabicReshaper({"delete_harakat": False, "support_ligatures": False})


def clean(value: object) -> str:
    """The text without control characters; other line ends become line feeds."""
    return CONTROL.sub("", str(value).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))


def has_right_to_left(text: str) -> bool:
    return RIGHT_TO_LEFT.search(text) is not None


def reads_from_right(text: str) -> bool:
    """Whether its first letter is one that is written from right to left."""
    first = STRONG.search(text)
    return first is not None and has_right_to_left(first.group())


def in_reading_order(line: str) -> str:
    """One line with its letters joined and in the order in which they stand on paper."""
    if not has_right_to_left(line):
        return line
    return str(get_display(_shaper().reshape(line), base_dir="R" if reads_from_right(line) else "L"))


def markup(text: str) -> str:
    """Text for ReportLab's Paragraph, which reads markup: here none of it is, but fonts for letters that DejaVu lacks."""
    eastern = KOREAN if HANGUL.search(text) else JAPANESE if KANA.search(text) else CHINESE
    named = EASTERN.sub(lambda run: f'<font name="{eastern}">{run.group()}</font>', escape(text))
    return named.replace("\n", "<br/>")


def broken(text: str, font: str, size: float, width: float) -> list[str]:
    """The text in lines not wider than `width` points, in the order of the mouth: break first, turn around afterwards."""
    register()
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if pdfmetrics.stringWidth(in_reading_order(longer), font, size) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = _pieces(word, font, size, width)
            lines += full
        lines.append(line)
    return lines


def _pieces(word: str, font: str, size: float, width: float) -> list[str]:
    """A word that is wider than the line, cut where the line ends."""
    pieces, piece = [], ""
    for letter in word:
        if piece and pdfmetrics.stringWidth(in_reading_order(piece + letter), font, size) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]
