"""Files of rows: CSV in the spellings that spreadsheet programs write, and XLSX; read with limits, written without formulas."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hosting.cells import plain

MAX_ROWS = 20_000
MAX_BYTES = 10 * 1024 * 1024
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_COLUMNS = 100
SAVE_AGAIN = "Save it as CSV (UTF-8) or as XLSX and try again."


class UnreadableFile(Exception):
    """The file as a whole cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows by their number as a spreadsheet counts, the column names being row 1; blank rows are left out."""

    headers: list[str]
    rows: list[tuple[int, list[str]]]
    notes: list[str] = field(default_factory=list)


def read_sheet(content: bytes) -> Sheet:
    """Rows of a CSV or XLSX file, told apart by how it begins; raises UnreadableFile."""
    if len(content) > MAX_BYTES:
        raise UnreadableFile(f"The file is larger than {MAX_BYTES // 1024 // 1024} MB: split it.")
    notes: list[str] = []
    found = _workbook_rows(content) if content.startswith(b"PK") else _csv_rows(_decoded(content, notes))
    rows: list[tuple[int, list[str]]] = []
    headers: list[str] = []
    for number, row in enumerate(found, start=1):
        if number > MAX_ROWS + 1 and number > 2 * (len(rows) + MAX_ROWS):
            break  # the blank rest of a worksheet
        if number == 1:
            headers = [_column(name) for name in row]
        elif any(text.strip() for text in row):
            if len(rows) == MAX_ROWS:
                raise UnreadableFile(f"The file has more than {MAX_ROWS:,} rows: split it and import the parts.")
            rows.append((number, row))
    while headers and not headers[-1]:
        headers.pop()
    if not headers:
        raise UnreadableFile("The file is empty: its first line must name the columns.")
    return Sheet(headers, rows, notes)


def write_csv(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """UTF-8 with a byte order mark, which spreadsheet programs ask for."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(headers)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def write_xlsx(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Every cell is text: no program makes a number of serial 00123 or a date of 1-2."""
    import openpyxl  # it and numpy take a fifth of a second, which every command would wait

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("miners")
    sheet.freeze_panes = "A2"
    sheet.append(list(headers))
    for row in rows:
        sheet.append([_escaped(text) or None for text in row])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


# XML cannot hold these; workbooks spell them _x000D_, and what looks so already with _x005F_ for its underscore.
UNSPEAKABLE = re.compile(r"[\x00-\x08\x0b-\x1f]|_(?=x[0-9A-Fa-f]{4}_)")
SPELLED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _escaped(text: str) -> str:
    return UNSPEAKABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text)


def _unescaped(text: str) -> str:
    return SPELLED.sub(lambda found: chr(int(found[1], 16)), text)


def _column(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _decoded(content: bytes, notes: list[str]) -> str:
    encodings = ("utf-16",) if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "cp1252":
            notes.append("The file is not UTF-8; it was read as Windows-1252. Look at names with accents.")
        if "\x00" in text:
            break
        return text
    raise UnreadableFile(f"This is neither a CSV file in UTF-8 or Windows-1252 nor an XLSX workbook. {SAVE_AGAIN}")


def _csv_rows(text: str) -> Iterator[list[str]]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)  # half of Europe's spreadsheet programs write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if len(row) > MAX_COLUMNS:
                raise UnreadableFile(f"Row {reader.line_num} has {len(row)} columns. {SAVE_AGAIN}")
            yield row
    except csv.Error as error:
        raise UnreadableFile(f"Line {reader.line_num} cannot be read ({error}). {SAVE_AGAIN}") from None


def _workbook_rows(content: bytes) -> Iterator[list[str]]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            unpacked = sum(entry.file_size for entry in packed.infolist())
        _refuse_bomb(unpacked)
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        for row in book.worksheets[0].iter_rows(max_col=MAX_COLUMNS, values_only=True):
            yield [_unescaped(cell) if isinstance(cell, str) else plain(cell) for cell in row]
    # openpyxl has no error of its own for a broken workbook; XML's is a SyntaxError.
    except (
        zipfile.BadZipFile,
        InvalidFileException,
        LookupError,
        ValueError,
        TypeError,
        SyntaxError,
        OSError,
    ) as error:
        raise UnreadableFile(f"This workbook cannot be read. {SAVE_AGAIN}") from error


def _refuse_bomb(unpacked: int) -> None:
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnreadableFile(f"The workbook unpacks to {unpacked // 1024 // 1024} MB. {SAVE_AGAIN}")
