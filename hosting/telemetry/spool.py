"""Minutes that cannot be handed over now, one file each, until they can.

A file is complete or it is not there: written beside its name, synced, renamed, and the folder synced. Its checksum tells a
torn one from a whole one all the same. The folder is bounded: beyond the bound the oldest minute goes, and a line in
`gaps.jsonl` says which, so that the gap can be written down in the database.
"""

import json
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MAGIC = b"MFSWEEP1"
HEAD = struct.Struct("!QI")  # length and CRC-32 of the content
SUFFIX = ".sweep"
GAPS = "gaps.jsonl"
STAMP = "%Y%m%dT%H%M"


class Torn(ValueError):
    """A file that is not what was written: cut, or changed since."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One site's sweep of one minute, in a file."""

    path: Path
    site_id: int
    minute: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """A minute that is lost for good, and why."""

    site_id: int
    minute: datetime
    reason: str


class Spool:
    """The folder of waiting minutes. Several processes may share it: every file has a name of its own."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def keep(self, site_id: int, minute: datetime, content: bytes) -> Path:
        """Write one sweep down, durable when this returns; raises OSError when the disk refuses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = MAGIC + HEAD.pack(len(content), zlib.crc32(content)) + content
        self._make_room(len(content))
        name = f"{minute.astimezone(UTC):{STAMP}}-{site_id}-{secrets.token_hex(4)}{SUFFIX}"
        path = self.folder / name
        writing = path.with_suffix(".writing")
        with writing.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        writing.rename(path)
        self._sync_folder()
        return path

    def waiting(self, site_id: int | None = None) -> list[Segment]:
        """Kept sweeps, the oldest minute first."""
        found = [segment for segment in self._segments() if site_id is None or segment.site_id == site_id]
        return sorted(found, key=lambda segment: segment.path.name)

    def size(self) -> int:
        """Bytes of all waiting minutes."""
        return sum(_size(segment.path) for segment in self._segments())

    def read(self, segment: Segment) -> bytes:
        """The content as it was kept. Raises Torn, or FileNotFoundError when another process took it first."""
        framed = segment.path.read_bytes()
        start = len(MAGIC) + HEAD.size
        if len(framed) < start or not framed.startswith(MAGIC):
            raise Torn("not a kept sweep of this version")
        length, checksum = HEAD.unpack_from(framed, len(MAGIC))
        content = framed[start:]
        if len(content) != length or zlib.crc32(content) != checksum:
            raise Torn("the file is cut or damaged")
        return content

    def done(self, segment: Segment) -> None:
        """The minute is where it belongs, committed."""
        segment.path.unlink(missing_ok=True)

    def set_aside(self, segment: Segment, reason: str) -> None:
        """Keep a file that cannot be stored for whoever looks into it, and note the gap that it leaves."""
        segment.path.rename(segment.path.with_suffix(".torn"))
        self.note_gap(Gap(segment.site_id, segment.minute, reason))

    def note_gap(self, gap: Gap) -> None:
        line = json.dumps({"site": gap.site_id, "minute": gap.minute.isoformat(), "reason": gap.reason})
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / GAPS).open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def take_gaps(self) -> "GapNotes":
        """The noted gaps; call `written()` on the answer once they are in the database."""
        notes, taken = self.folder / GAPS, self.folder / f"{GAPS}.taken"
        if notes.exists() and not taken.exists():
            notes.rename(taken)
        return GapNotes(taken)

    def _segments(self) -> Iterator[Segment]:
        if not self.folder.is_dir():
            return
        for path in self.folder.glob(f"*{SUFFIX}"):
            stamp, site_id, _ = path.stem.split("-")
            yield Segment(path, int(site_id), datetime.strptime(stamp, STAMP).replace(tzinfo=UTC))

    def _make_room(self, needed: int) -> None:
        waiting = self.waiting()
        total = sum(_size(segment.path) for segment in waiting)
        for oldest in waiting:
            if total + needed <= self.max_bytes:
                return
            total -= _size(oldest.path)
            self.note_gap(Gap(oldest.site_id, oldest.minute, "spool full"))
            self.done(oldest)

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@dataclass(frozen=True, slots=True)
class GapNotes:
    """Gaps on their way into the database; kept in a file until they are there."""

    path: Path

    def __iter__(self) -> Iterator[Gap]:
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                note = json.loads(line)
                yield Gap(note["site"], datetime.fromisoformat(note["minute"]), note["reason"])

    def written(self) -> None:
        self.path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # stored by another process meanwhile
        return 0
