"""What a file of machines would do to the farm: reads, compares, writes nothing.

An empty cell clears the value (status: leaves it; port: 4028; read every minute: no), a column that is left out is left alone.
A cell that reads as an export would write it is left alone, too, whatever it holds: what was exported changes nothing.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.models import User
from accounts.roles import Role
from hosting.addresses import DEPLOYMENT, AddressRefused, AddressRules, rules_of
from hosting.cells import AddressCell, Cell, DateCell, NameCell, NumberCell, StatusCell, YesNoCell, original
from hosting.models import Miner, MinerModel, Rack, Site
from hosting.models.places import MAX_SLOTS
from hosting.sheets import Sheet, UnreadableFile
from hosting.states import PEOPLES_MOVES, WATCHED, MinerStatus

# column of the file: attribute of the machine. Each is read after those that it depends on.
COLUMNS = {
    "serial_number": "serial_number",
    "model": "miner_model_id",
    "site": "site_id",
    "rack": "rack_id",
    "slot": "slot",
    "client": "client_id",
    "status": "status",
    "cgminer_ip": "cgminer_ip",
    "cgminer_port": "cgminer_port",
    "cgminer_enabled": "cgminer_enabled",
    "purchase_date": "purchase_date",
    "warranty_start": "warranty_start",
    "warranty_expiry": "warranty_expiry",
    "warranty_vendor": "warranty_vendor",
    "warranty_order": "warranty_order",
}
DEFAULT_PORT = 4028
PLACE = frozenset({"site", "rack", "slot"})


@dataclass(frozen=True, slots=True)
class Problem:
    """A cell that cannot be taken. A conflict is one with another row or machine; the rest is wrong by itself."""

    row: int
    column: str
    value: str
    reason: str
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One value of one machine, as texts of the file and as what is stored."""

    column: str
    before: str
    after: str
    stored: tuple[Any, Any]


@dataclass(slots=True)
class Step:
    """What becomes of one row: `add`, `change`, `move` (a change of site, rack or slot) or `same`."""

    row: int
    kind: str
    miner: Miner
    changes: list[Change] = field(default_factory=list)
    status: MinerStatus | None = None  # where people's move leads, through the services

    def names(self, *columns: str) -> bool:
        return any(change.column in columns for change in self.changes)


@dataclass(slots=True)
class Plan:
    """The outcome of a dry run. `token` commits exactly this; it is empty while there are problems."""

    rows: int
    steps: list[Step]
    problems: list[Problem]
    notes: list[str]
    token: str = ""

    def of_kind(self, kind: str) -> list[Step]:
        return [step for step in self.steps if step.kind == kind]

    @property
    def bad(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.conflict]

    @property
    def conflicts(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.conflict]

    @property
    def bad_rows(self) -> int:
        return len({problem.row for problem in self.problems})

    @property
    def totals(self) -> dict[str, int]:
        counted = {kind: len(self.of_kind(kind)) for kind in ("add", "change", "move", "same")}
        return {"rows": self.rows, **counted, "bad_rows": self.bad_rows}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that would be written and what stands there now: another farm gives another one."""
        written = [
            [
                step.kind,
                step.miner.pk,
                step.miner.serial_number,
                [[c.column, *map(str, c.stored)] for c in step.changes],
            ]
            for step in self.steps
            if step.kind != "same"
        ]
        return hashlib.sha256(json.dumps(written).encode()).hexdigest()


class Farm:
    """Everything that rows of a file may name, looked up once for the whole file."""

    def __init__(self, miners: Sequence[Miner]) -> None:
        racks, sites = list(Rack.objects.select_related("building")), list(Site.objects.all())
        self.miners = miners
        self.rules = {site.pk: rules_of(site) for site in sites}
        self.racks = {rack.pk: rack for rack in racks}
        self.cells: dict[str, Cell] = {
            "serial_number": Cell(),
            "model": NameCell("miner model", dict(MinerModel.objects.values_list("pk", "name"))),
            "site": NameCell("site", {site.pk: site.name for site in sites}),
            "rack": NameCell("rack", {rack.pk: str(rack) for rack in racks}),
            "slot": NumberCell("slot", 1, MAX_SLOTS),
            "client": NameCell("client", dict(User.objects.filter(role=Role.CLIENT).values_list("pk", "email"))),
            "status": StatusCell(),
            "cgminer_ip": AddressCell(),
            "cgminer_port": NumberCell("TCP port", 1, 65535, empty=DEFAULT_PORT),
            "cgminer_enabled": YesNoCell(),
            **dict.fromkeys(("purchase_date", "warranty_start", "warranty_expiry"), DateCell()),
            **dict.fromkeys(("warranty_vendor", "warranty_order"), Cell()),
        }
        self.by_serial = {miner.serial_number: miner for miner in miners}
        self.by_folded: dict[str, list[Miner]] = {}
        for miner in miners:
            self.by_folded.setdefault(miner.serial_number.casefold(), []).append(miner)
        self._racks_of_site: dict[int | None, NameCell] = {}

    def rules_at(self, site_id: int | None) -> AddressRules:
        return DEPLOYMENT if site_id is None else self.rules.get(site_id, DEPLOYMENT)

    def rack_cell(self, site_id: int | None) -> NameCell:
        """Racks of one site: `Hall A / R-01`, or `R-01` where that says enough."""
        if site_id not in self._racks_of_site:
            here = [rack for rack in self.racks.values() if rack.building.site_id == site_id]
            cell = NameCell("rack of this site", {rack.pk: str(rack) for rack in here})
            for rack in here:
                for spelling in {rack.name, rack.name.casefold()} - {str(rack), str(rack).casefold()}:
                    cell.ids.setdefault(spelling, []).append(rack.pk)
            self._racks_of_site[site_id] = cell
        return self._racks_of_site[site_id]

    def find(self, cell: str) -> tuple[Miner | None, str | None]:
        """The machine of a serial number, whatever its capitals, and the number itself; raises ValueError."""
        if known := self.by_serial.get(original(cell)):
            return known, known.serial_number
        serial = self.cells["serial_number"].clean(cell)
        if serial is None:
            raise ValueError("Enter the serial number.")
        if known := self.by_serial.get(serial):
            return known, serial
        alike = self.by_folded.get(serial.casefold(), [])
        if len(alike) > 1:
            named = ", ".join(sorted(miner.serial_number for miner in alike))
            raise ValueError(f"Several machines are named so: {named}. Write it as one of them.")
        return (alike[0], serial) if alike else (None, serial)

    def render(self, miner: Miner, column: str) -> str:
        return self.cells[column].render(getattr(miner, COLUMNS[column]))


class Planner:
    """Goes through the rows once, then through what they claim: addresses and slots."""

    def __init__(self, farm: Farm, sheet: Sheet, site: Site | None) -> None:
        self.farm = farm
        self.sheet = sheet
        self.site = site
        self.steps: list[Step] = []
        self.problems: list[Problem] = []
        self.first_rows: dict[str, int] = {}
        refuse_headers(sheet.headers)

    def plan(self) -> Plan:
        for number, row in self.sheet.rows:
            cells = dict(zip(self.sheet.headers, [*row, *[""] * len(self.sheet.headers)], strict=False))
            self._row(number, cells)
            if len(row) > len(self.sheet.headers) and any(text.strip() for text in row[len(self.sheet.headers) :]):
                self._problem(
                    number, "", row[len(self.sheet.headers)], "The row has more cells than the first line names."
                )
        self._claims()
        self.problems.sort(key=lambda problem: problem.row)
        return Plan(len(self.sheet.rows), self.steps, self.problems, list(self.sheet.notes))

    def _problem(self, row: int, column: str, value: str, reason: str, *, conflict: bool = False) -> None:
        self.problems.append(Problem(row, column, value[:200], reason, conflict))

    def _row(self, number: int, cells: dict[str, str]) -> None:
        cell = cells["serial_number"]
        try:
            known, serial = self.farm.find(cell)
        except ValueError as error:
            self._problem(number, "serial_number", cell, str(error))
            known, serial = None, None
        if serial is not None:
            key = known.serial_number if known else serial.casefold()
            if (first := self.first_rows.setdefault(key, number)) != number:
                reason = f"{serial} is on row {first} already: keep one of them."
                self._problem(number, "serial_number", cell, reason, conflict=True)
                return
        if known and known.retired_at:
            reason = f"{known} is retired since {known.retired_at:%Y-%m-%d}: bring it back first, or take the row out."
            self._problem(number, "serial_number", cell, reason, conflict=True)
            return
        miner = known or Miner(serial_number=serial or "")
        step = Step(number, "same" if known else "add", miner)
        self.steps.append(step)
        before = len(self.problems)
        if self.site is not None and not cells.get("site", "").strip():
            self._go_to(self.site, step, known=known is not None)
            cells.pop("site", None)
        for column, attribute in COLUMNS.items():
            if column in cells and column != "serial_number":
                self._cell(step, column, attribute, cells[column], known=known is not None)
        self._leave_rack(step, cells)
        if len(self.problems) == before and step.kind != "same":
            self._whole(step, cells)

    def _cell(self, step: Step, column: str, attribute: str, text: str, *, known: bool) -> None:
        miner, present = step.miner, getattr(step.miner, attribute)
        shown = self.farm.cells[column].render(present)
        moved = column == "rack" and step.names("site")
        elsewhere = column == "site" and self.site is not None and present != self.site.pk
        if known and text == shown and not moved and not elsewhere:
            return
        cell = self.farm.rack_cell(miner.site_id) if column == "rack" else self.farm.cells[column]
        try:
            value = cell.clean(text)
        except ValueError as error:
            self._problem(step.row, column, text, str(error))
            return
        if column == "site":
            value = self._site(step.row, text, value)
        if column == "status":
            self._status(step, text, value, known=known)
        elif value != present:
            setattr(miner, attribute, value)
            self._note(step, column, (present, value))

    def _note(self, step: Step, column: str, stored: tuple[Any, Any]) -> None:
        before, after = (self.farm.cells[column].render(value) for value in stored)
        step.changes.append(Change(column, before, after, stored))
        if step.kind != "add":
            step.kind = "move" if step.kind == "move" or column in PLACE else "change"

    def _go_to(self, site: Site, step: Step, *, known: bool) -> None:
        """Rows that name no site are for the import's."""
        present = step.miner.site_id if known else None
        if present != site.pk:
            step.miner.site_id = site.pk
            self._note(step, "site", (present, site.pk))

    def _site(self, row: int, text: str, value: int | None) -> int | None:
        if self.site is None:
            return value
        if value not in {None, self.site.pk}:
            reason = f"This import is for {self.site}: take the row out, or import without naming a site."
            self._problem(row, "site", text, reason)
        return self.site.pk

    def _status(self, step: Step, text: str, value: str | None, *, known: bool) -> None:
        """Between active and offline the collector knows better than a file that was exported a while ago."""
        miner = step.miner
        if value is None or (known and value == miner.status) or (known and {value, miner.status} <= set(WATCHED)):
            return
        if not known:
            if value == MinerStatus.CURTAILED:
                self._problem(step.row, "status", text, "Only a curtailment plan makes a machine curtailed.")
                return
            self._note(step, "status", (None, value))
            miner.status = value
        elif miner.status in PEOPLES_MOVES.get(MinerStatus(value), ()):
            self._note(step, "status", (miner.status, value))
            step.status = MinerStatus(value)
        else:
            reason = (
                f"The machine is {miner.status}; an import cannot make it {value}. Leave the cell empty to keep it."
            )
            self._problem(step.row, "status", text, reason)

    def _leave_rack(self, step: Step, cells: dict[str, str]) -> None:
        """A machine that goes to another site leaves its rack, unless the file says where it stands there."""
        if step.kind == "add" or not step.names("site") or "rack" in cells:
            return
        for column in ("rack", "slot"):
            if (present := getattr(step.miner, COLUMNS[column])) is not None:
                setattr(step.miner, COLUMNS[column], None)
                self._note(step, column, (present, None))

    def _whole(self, step: Step, cells: dict[str, str]) -> None:
        """What cells must fit to each other."""
        miner = step.miner
        problems = {
            "cgminer_ip": miner.cgminer_enabled
            and not miner.cgminer_ip
            and "Enter the machine's IP address, or switch reading off (cgminer_enabled no).",
            "slot": self._slot_problem(miner),
            "warranty_expiry": bool(
                miner.warranty_start and miner.warranty_expiry and miner.warranty_expiry < miner.warranty_start
            )
            and f"The warranty ends before it starts ({miner.warranty_start}).",
        }
        for column, reason in problems.items():
            if reason:
                self._problem(step.row, column, cells.get(column, ""), reason)
        if miner.cgminer_ip and (step.kind == "add" or step.names("site", "cgminer_ip", "cgminer_port")):
            try:
                self.farm.rules_at(miner.site_id).check(miner.cgminer_ip, miner.cgminer_port)
            except AddressRefused as refused:
                column = f"cgminer_{refused.field}"
                self._problem(step.row, column, cells.get(column, ""), str(refused))

    def _slot_problem(self, miner: Miner) -> str | None:
        if miner.rack_id is None:
            return None if miner.slot is None else "A slot belongs to a rack: name the rack, too."
        slots = self.farm.racks[miner.rack_id].slots
        if miner.slot is None:
            return f"Which slot of the rack? Use 1 to {slots}."
        return None if miner.slot <= slots else f"The rack has slots 1 to {slots}."

    def _claims(self) -> None:
        """Who is where they were keeps it; of two who come, the first."""
        named = {step.miner.pk for step in self.steps}
        addresses: dict[Any, str] = {}
        slots: dict[Any, str] = {}
        resting = [miner for miner in self.farm.miners if miner.pk not in named and miner.retired_at is None]
        staying = [step.miner for step in self.steps if not step.names("site", "cgminer_ip", "cgminer_port")]
        for miner in [*resting, *(miner for miner in staying if miner.pk)]:
            addresses.setdefault(_address(miner), miner.serial_number)
        for miner in [*resting, *(s.miner for s in self.steps if s.miner.pk and not s.names("rack", "slot"))]:
            slots.setdefault((miner.rack_id, miner.slot), miner.serial_number)
        for step in self.steps:
            miner = step.miner
            address = _address(miner)
            holder = addresses.setdefault(address, miner.serial_number) if address else miner.serial_number
            if holder != miner.serial_number:
                reason = f"{holder} has {miner.address} at this site: change one of the two."
                self._problem(step.row, "cgminer_ip", miner.cgminer_ip or "", reason, conflict=True)
            if miner.rack_id is not None and miner.slot is not None:
                holder = slots.setdefault((miner.rack_id, miner.slot), miner.serial_number)
                if holder != miner.serial_number:
                    reason = f"{holder} stands in slot {miner.slot} of {self.farm.racks[miner.rack_id]}: choose another slot."
                    self._problem(step.row, "slot", str(miner.slot), reason, conflict=True)


def _address(miner: Miner) -> tuple[int, str, int] | None:
    if miner.site_id is None or not miner.cgminer_ip:
        return None
    return (miner.site_id, miner.cgminer_ip, miner.cgminer_port)


def refuse_headers(headers: Sequence[str]) -> None:
    """Raises UnreadableFile for a file whose first line does not name the columns."""
    if "serial_number" not in headers:
        raise UnreadableFile(
            f"The first line must name the columns, serial_number among them. Known: {', '.join(COLUMNS)}."
        )
    if unknown := [header for header in headers if header not in COLUMNS]:
        named = ", ".join(repr(header) for header in unknown)
        raise UnreadableFile(f"Unknown column {named}. Known are: {', '.join(COLUMNS)}.")
    if twice := sorted({header for header in headers if headers.count(header) > 1}):
        raise UnreadableFile(f"The column {', '.join(twice)} is there twice: take one out.")
