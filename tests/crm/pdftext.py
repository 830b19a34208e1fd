"""The text of a PDF that ReportLab has written, in the order of painting: enough of a reader to check what is on paper."""

import re
import zlib
from base64 import a85decode

OBJECT = re.compile(rb"(\d+) 0 obj\n(.*?)endobj", re.DOTALL)
STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
PAINTED = re.compile(rb"/(F\d+(?:\+\d+)?) [\d.]+ Tf|\(((?:\\[0-7]{3}|\\.|[^\\)])*)\) Tj|(T\*|\bET\b)", re.DOTALL)


def page_count(data: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", data))


def text_of_pdf(data: bytes) -> str:
    """Each line of a paragraph on a line of its own; letters of the 14 standard fonts are left out, for we use none."""
    objects = {int(number): body for number, body in OBJECT.findall(data)}
    fonts: dict[bytes, dict[int, str] | None] = {}
    for body in objects.values():
        name, table = re.search(rb"/Name /(F\d+\+\d+)", body), re.search(rb"/ToUnicode (\d+) 0 R", body)
        if name and table:
            pairs = re.findall(rb"^<(\w\w)> <(\w{4,})>$", unpacked(objects[int(table[1])]), re.MULTILINE)
            fonts[name[1]] = {int(code, 16): chr(int(to, 16)) for code, to in pairs}
        name = re.search(rb"/Name /(F\d+)\b", body)
        if name and re.search(rb"/Encoding /Uni\w+-UCS2-H", body):
            fonts[name[1]] = None  # two bytes a letter, and they are the letter
    assert fonts
    contents = re.findall(rb"/Contents (\d+) 0 R", data)
    return "\n".join(painted(unpacked(objects[int(number)]), fonts) for number in contents)


def unpacked(body: bytes) -> bytes:
    raw = STREAM.search(body)[1]
    if b"ASCII85Decode" in body.split(b"stream", 1)[0]:
        raw = a85decode(raw.strip().removesuffix(b"~>"))
    return zlib.decompress(raw.rstrip(b"\r\n") if raw.endswith(b"\n") else raw)


def painted(content: bytes, fonts: dict[bytes, dict[int, str] | None]) -> str:
    letters: dict[int, str] | None = {}
    text = []
    for font, string, end in PAINTED.findall(content):
        if font:
            letters = fonts.get(font, {})
        elif end:
            text.append("\n")
        else:
            codes = re.sub(rb"\\([0-7]{3}|.)", unescaped, string, flags=re.DOTALL)
            text += codes.decode("utf-16-be") if letters is None else [letters.get(code, "") for code in codes]
    return re.sub(r"\n+", "\n", "".join(text))


def unescaped(found: "re.Match[bytes]") -> bytes:
    code = found[1]
    named = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
    return bytes([int(code, 8)]) if len(code) == 3 else named.get(code, code)
