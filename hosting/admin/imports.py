"""The pages of an import: upload, preview, confirm. Nothing is written before the confirmation, and then all of it or nothing."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from import_export.admin import ImportExportModelAdmin
from import_export.results import Result, RowResult
from import_export.tmp_storages import CacheStorage
from unfold.contrib.import_export.forms import ExportForm, ImportForm

from accounts.access import actor
from hosting.admin.resources import FORMATS, MinerResource


class PreviewExpired(Exception):
    """The previewed file is gone: imported already, or left for longer than an hour."""


class PreviewedFile(CacheStorage):
    """Between preview and confirmation, where every web process finds it and no path of a form can point elsewhere."""

    CACHE_LIFETIME = 3600
    CACHE_PREFIX = "import-preview-"

    def read(self) -> bytes:
        data: bytes | None = super().read()
        if data is None:
            raise PreviewExpired
        return data


class MinerImportAdmin(ImportExportModelAdmin):
    resource_classes = [MinerResource]
    import_form_class = ImportForm
    export_form_class = ExportForm
    formats = FORMATS
    tmp_storage_class = PreviewedFile

    def has_import_permission(self, request: HttpRequest) -> bool:
        """A file may hold machines of any site, so people limited to some do not import."""
        may = self.has_add_permission(request) and self.has_change_permission(request)
        return bool(may and actor(request).site_ids is None)

    def get_import_data_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_import_data_kwargs(**kwargs), "rollback_on_validation_errors": True}

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().process_import(request, **kwargs)
        except PreviewExpired:
            messages.error(
                request, "Nothing was imported: this preview was used or has expired. Choose the file again."
            )
            return redirect("admin:hosting_miner_import")
        return response

    def process_result(self, result: Result, request: HttpRequest) -> HttpResponse:
        """Only now the rows are written, and the farm may have changed since the preview."""
        if result.has_errors() or result.has_validation_errors():
            messages.error(request, f"Nothing was imported: {first_problem(result)}. Preview the file again.")
            return redirect("admin:hosting_miner_import")
        self.generate_log_entries(result, request)
        messages.success(request, f"Imported: {totals(result)}.")
        return redirect("admin:hosting_miner_changelist")


def first_problem(result: Result) -> str:
    for row in result.invalid_rows:
        for column, problems in row.field_specific_errors.items():
            return f"line {row.number + 1}, {column}: {problems[0]}".rstrip(".")
    errors = [*result.base_errors, *(error for row in result.error_rows for error in row.errors)]
    return "; ".join(getattr(errors[0].error, "messages", ["the database refused a row"])).rstrip(".")


def totals(result: Result) -> str:
    counted = result.totals
    return (
        f"{counted[RowResult.IMPORT_TYPE_NEW]} added, {counted[RowResult.IMPORT_TYPE_UPDATE]} changed, "
        f"{counted[RowResult.IMPORT_TYPE_SKIP]} unchanged"
    )
