"""Machines as a spreadsheet: one row each, related rows by the names that people use.

An empty cell clears the value (status: leaves it; port: 4028; read every minute: no), a column that is left out is left alone.
An import that has one wrong row changes nothing.
"""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.utils import timezone
from import_export import resources
from import_export.fields import Field
from import_export.formats.base_formats import CSV, XLSX
from import_export.instance_loaders import BaseInstanceLoader
from import_export.results import Result, RowResult
from tablib import Dataset

from accounts.models import User
from accounts.roles import Role
from hosting import services
from hosting.addresses import DEPLOYMENT, AddressRules, rules_of
from hosting.admin.cells import AddressCell, DateCell, NaturalKey, PortCell, StatusCell, TextCell, YesNoCell
from hosting.models import Miner, MinerModel, Site
from hosting.states import PEOPLES_MOVES, WATCHED, MinerStatus

MAX_ROWS = 20_000
DEFAULT_PORT = 4028
BATCH_SIZE = 1000
RELATIONS = ("miner_model", "site", "client")

Address = tuple[int | None, str, int]


class FarmCsv(CSV):
    """Comma-separated, or with semicolons as spreadsheet programs of half of Europe write it."""

    def create_dataset(self, in_stream: Any, **kwargs: Any) -> Any:
        text = in_stream.decode(self.encoding or "utf-8-sig") if isinstance(in_stream, bytes) else in_stream
        header = text.partition("\n")[0]
        delimiter = ";" if ";" in header and "," not in header else ","
        return super().create_dataset(text, delimiter=delimiter, **kwargs)


FORMATS = [FarmCsv, XLSX]


class ImportResult(Result):
    """What an import would do or did; the preview page shows the first of it."""

    PREVIEWED = 200

    def previewed(self) -> list[RowResult]:
        return self._writing()[: self.PREVIEWED]

    def not_previewed(self) -> int:
        return max(len(self._writing()) - self.PREVIEWED, 0)

    def _writing(self) -> list[RowResult]:
        return [row for row in self.rows if row.is_new() or row.is_update()]


class MinersBySerial(BaseInstanceLoader):
    """Every machine that the file names, in one query."""

    def __init__(self, resource: "MinerResource", dataset: Dataset) -> None:
        super().__init__(resource, dataset)
        cells = dataset["serial_number"] if "serial_number" in (dataset.headers or []) else []
        serials = {serial for cell in cells if (serial := readable_serial(cell))}
        self.found = {miner.serial_number: miner for miner in Miner.objects.filter(serial_number__in=serials)}

    def get_instance(self, row: Any) -> Miner | None:
        return self.found.get(readable_serial(row["serial_number"]) or "")


def readable_serial(cell: object) -> str | None:
    """The serial number, or None for a cell that holds none; the row's own check says what is wrong with it."""
    try:
        serial: str | None = TextCell().clean(cell)
    except ValueError:
        return None
    return serial


def _client_rows() -> Any:
    return User.objects.filter(role=Role.CLIENT).values_list("pk", "email")


class MinerResource(resources.ModelResource):
    serial_number = Field("serial_number", "serial_number", TextCell())
    model = Field(
        "miner_model_id", "model", NaturalKey("miner model", lambda: MinerModel.objects.values_list("pk", "name"))
    )
    site = Field("site_id", "site", NaturalKey("site", lambda: Site.objects.values_list("pk", "name")))
    client = Field("client_id", "client", NaturalKey("client", _client_rows))
    status = Field("status", "status", StatusCell(), saves_null_values=False)
    cgminer_ip = Field("cgminer_ip", "cgminer_ip", AddressCell())
    cgminer_port = Field("cgminer_port", "cgminer_port", PortCell(), default=DEFAULT_PORT)
    cgminer_enabled = Field("cgminer_enabled", "cgminer_enabled", YesNoCell(), default=False)
    purchase_date = Field("purchase_date", "purchase_date", DateCell())
    warranty_expiry = Field("warranty_expiry", "warranty_expiry", DateCell())

    class Meta:
        model = Miner
        fields = (
            "serial_number",
            "model",
            "site",
            "client",
            "status",
            "cgminer_ip",
            "cgminer_port",
            "cgminer_enabled",
            "purchase_date",
            "warranty_expiry",
        )
        import_id_fields = ("serial_number",)
        instance_loader_class = MinersBySerial
        skip_unchanged = True
        clean_model_instances = True
        use_bulk = True
        batch_size = None  # all at the end: a machine may take the address that another row of the file gives up
        store_instance = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lines: dict[str, int] = {}
        self.addresses: dict[Address, str] = {}
        self.rules: dict[int | None, AddressRules] = {}
        self.moves: dict[str, list[int]] = {MinerStatus.MAINTENANCE: [], MinerStatus.ACTIVE: []}

    @classmethod
    def get_result_class(cls) -> type[ImportResult]:
        return ImportResult

    # --- before the rows ----------------------------------------------------------------------------------------------

    def before_import(self, dataset: Dataset, **kwargs: Any) -> None:
        dataset.headers = [self._column(header) for header in dataset.headers or []]
        while len(dataset) and not any(str(cell or "").strip() for cell in dataset[-1]):
            dataset.pop()
        self._refuse_headers(dataset.headers)
        if len(dataset) > MAX_ROWS:
            raise ValidationError(f"The file has {len(dataset)} rows: import at most {MAX_ROWS} at a time.")
        named = {serial for cell in dataset["serial_number"] if (serial := readable_serial(cell))}
        taken = Miner.objects.filter(cgminer_ip__isnull=False).exclude(site=None)
        rows = taken.values_list("site_id", "cgminer_ip", "cgminer_port", "serial_number")
        self.rules = {site.pk: rules_of(site) for site in Site.objects.all()}
        self.addresses = {(site, ip or "", port): serial for site, ip, port, serial in rows if serial not in named}

    def _column(self, header: object) -> str:
        return str(header or "").strip().lower().replace(" ", "_")

    def _refuse_headers(self, headers: Sequence[str]) -> None:
        known = [field.column_name for field in self.get_import_fields()]
        if "serial_number" not in headers:
            raise ValidationError("The first line must name the columns, serial_number among them.")
        if unknown := [header for header in headers if header not in known]:
            named = ", ".join(repr(header) for header in unknown)
            raise ValidationError(f"Unknown column {named}. Known are: {', '.join(known)}.")
        if twice := {header for header in headers if headers.count(header) > 1}:
            raise ValidationError(f"The column {', '.join(sorted(twice))} is there twice.")

    # --- one row ------------------------------------------------------------------------------------------------------

    def import_instance(self, instance: Miner, row: Any, **kwargs: Any) -> None:
        """Take the row over into the machine; raises ValidationError by column name."""
        before = None if instance._state.adding else instance.status  # noqa: SLF001  Django's documented flag
        errors: dict[str, Any] = {}
        try:
            super().import_instance(instance, row, **kwargs)
        except ValidationError as error:
            columns = {field.attribute: field.column_name for field in self.get_import_fields()}
            errors = {columns[name]: found for name, found in error.error_dict.items()}
        for column, problem in (
            ("serial_number", self._serial_problem(instance, kwargs["row_number"])),
            ("status", self._status_problem(instance, before)),
            ("cgminer_ip", self._address_problem(instance)),
        ):
            if problem and column not in errors:
                errors[column] = ValidationError(problem)
        if errors:
            raise ValidationError(errors)

    def _serial_problem(self, miner: Miner, number: int) -> str | None:
        if not miner.serial_number:
            return "Enter the serial number."
        line = number + 1  # as a spreadsheet counts, with the column names on line 1
        first = self.lines.setdefault(miner.serial_number, line)
        return None if first == line else f"{miner.serial_number} is on line {first} already."

    def _status_problem(self, miner: Miner, before: str | None) -> str | None:
        if before is None:
            fine = miner.status != MinerStatus.CURTAILED
            return None if fine else "Only a curtailment plan makes a machine curtailed."
        if before in WATCHED and miner.status in WATCHED:
            miner.status = before  # the collector knows better than a file that was exported a while ago
        if miner.status == before:
            return None
        if before in PEOPLES_MOVES.get(MinerStatus(miner.status), ()):
            self.moves[miner.status].append(miner.pk)
            return None
        return f"The machine is {before}; an import cannot make it {miner.status}. Leave the cell empty to keep it."

    def _address_problem(self, miner: Miner) -> str | None:
        if not miner.cgminer_ip or miner.site_id is None:
            return None
        address = (miner.site_id, miner.cgminer_ip, miner.cgminer_port)
        holder = self.addresses.setdefault(address, miner.serial_number)
        return None if holder == miner.serial_number else f"{holder} has {miner.address} at this site."

    def validate_instance(
        self, instance: Miner, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """The model's own checks without a query per row: what needs one was looked up for the whole file."""
        errors: dict[str, Any] = dict(import_validation_errors or {})
        instance.rules = self.rules.get(instance.site_id, DEPLOYMENT)
        try:
            instance.full_clean(exclude={*RELATIONS, *errors}, validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            for name, found in error.error_dict.items():
                errors.setdefault(name, found)
        if errors:
            raise ValidationError(errors)

    def before_save_instance(self, instance: Miner, row: Any, **kwargs: Any) -> None:
        instance.updated_at = timezone.now()  # bulk statements do not set it

    # --- after the rows -----------------------------------------------------------------------------------------------

    def bulk_create(self, using_transactions: bool, dry_run: bool, raise_errors: bool, **kwargs: Any) -> None:
        """Runs before the updates, so the addresses that they give up are set free here."""
        moving = [miner.pk for miner in self.update_instances]
        if Miner.objects.filter(pk__in=moving).update(cgminer_ip=None) < len(moving):
            gone = ValidationError("A machine of the file was deleted during the import: preview it again.")
            self.handle_import_error(kwargs["result"], gone, raise_errors)
            self.update_instances.clear()
        super().bulk_create(using_transactions, dry_run, raise_errors, batch_size=BATCH_SIZE, result=kwargs["result"])

    def bulk_update(self, using_transactions: bool, dry_run: bool, raise_errors: bool, **kwargs: Any) -> None:
        """One upsert per batch: an eighth of the time of Django's bulk_update. The rows are there, locked just before."""
        # Without the status: meanwhile the collector may have moved it. Moves go through the services, below.
        own = {field.attribute for field in self.fields.values()} - {"serial_number", "status"}
        try:
            Miner.objects.bulk_create(
                self.update_instances,
                batch_size=BATCH_SIZE,
                update_conflicts=True,
                unique_fields=["id"],
                update_fields=[*sorted(Miner._meta.get_field(name).name for name in own), "updated_at"],  # noqa: SLF001  public by documentation
            )
        except DatabaseError as error:
            self.handle_import_error(kwargs["result"], error, raise_errors)
        self.update_instances.clear()

    def after_import(self, dataset: Dataset, result: Result, **kwargs: Any) -> None:
        if result.has_errors() or result.has_validation_errors():
            return
        by: User = kwargs["user"]
        added = [row for row in result.rows if row.import_type == RowResult.IMPORT_TYPE_NEW]
        updated = [row for row in result.rows if row.import_type == RowResult.IMPORT_TYPE_UPDATE]
        self._move_statuses(by)
        changes = {row.instance.pk: self._changes(row.original, row.instance) for row in updated}
        services.log_changes({pk: f"import: {changed}" for pk, changed in changes.items() if changed}, by=by)
        sites = {miner.site_id for row in [*added, *updated] for miner in (row.instance, row.original) if miner}
        services.recount_sites(sites)

    def _move_statuses(self, by: User) -> None:
        for status, move in (
            (MinerStatus.MAINTENANCE, services.start_maintenance),
            (MinerStatus.ACTIVE, services.end_maintenance),
        ):
            ids = self.moves[status]
            if move(Miner.objects.filter(pk__in=ids), reason="import", by=by) != len(ids):
                raise ValidationError("A machine changed its status during the import: preview it again.")

    def _changes(self, before: Miner, after: Miner) -> str:
        return ", ".join(
            f"{field.column_name} {field.export(before) or 'empty'} → {field.export(after) or 'empty'}"
            for field in self.get_import_fields()
            if field.attribute != "status" and field.get_value(before) != field.get_value(after)
        )
