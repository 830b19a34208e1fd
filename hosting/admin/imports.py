"""The pages of an import: upload, dry run, commit; and the export. Doors to hosting.importing."""

import secrets
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from accounts.access import actor
from hosting.import_plan import COLUMNS
from hosting.importing import ImportRefused, Plan, UnreadableFile, commit_import, export_miners, plan_import
from hosting.models import Miner, Site
from hosting.sheets import MAX_BYTES

KEPT_S = 3600
SHOWN = 200
EXPIRED = "Nothing was imported: this dry run was used or has expired. Choose the file again."
TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


class ImportForm(forms.Form):
    file = forms.FileField(widget=UnfoldAdminFileFieldWidget(), help_text="CSV or XLSX, at most 20,000 rows.")
    site = forms.ModelChoiceField(
        Site.objects.all(),
        required=False,
        empty_label="As the file says",
        widget=UnfoldAdminSelectWidget(),
        help_text="With a site, rows that name none go there, and rows that name another one are refused.",
    )

    def clean_file(self) -> bytes:
        upload = self.cleaned_data["file"]
        if upload.size > MAX_BYTES:
            raise forms.ValidationError(f"The file is larger than {MAX_BYTES // 1024 // 1024} MB: split it.")
        content: bytes = upload.read()
        return content


class MinerImportAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Between dry run and commit the file rests in the cache, where every web process finds it, for its uploader alone."""

    change_list_template = "admin/hosting/miner/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        guard = self.admin_site.admin_view
        return [
            path("import/", guard(self.import_view), name="hosting_miner_import"),
            path("import/commit/", guard(self.commit_view), name="hosting_miner_import_commit"),
            path("export/", guard(self.export_view), name="hosting_miner_export"),
            *super().get_urls(),
        ]

    def has_import_permission(self, request: HttpRequest) -> bool:
        """A file may hold machines of any site, so people limited to some do not import."""
        may = self.has_add_permission(request) and self.has_change_permission(request)
        return bool(may and actor(request).site_ids is None)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"has_import_permission": self.has_import_permission(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    def import_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_import_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method != "POST" or not form.is_valid():
            return self._page(request, form=form)
        content, site = form.cleaned_data["file"], form.cleaned_data["site"]
        try:
            plan = plan_import(content, site=site, by=actor(request))
        except UnreadableFile as error:
            form.add_error("file", str(error))
            return self._page(request, form=form)
        return self._dry_run(request, plan, content, site)

    def commit_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_import_permission(request):
            raise PermissionDenied
        kept = cache.get(self._key(request, request.POST.get("upload", "")))
        if request.method != "POST" or kept is None:
            messages.error(request, EXPIRED)
            return redirect("admin:hosting_miner_import")
        content, site_id = kept
        site = Site.objects.filter(pk=site_id).first() if site_id else None
        try:
            plan = commit_import(content, request.POST.get("token", ""), site=site, by=actor(request))
        except (ImportRefused, UnreadableFile) as error:
            messages.error(request, str(error))
            fresh = plan_import(content, site=site, by=actor(request))
            return self._dry_run(request, fresh, content, site)
        cache.delete(self._key(request, request.POST["upload"]))
        told = "{add} added, {change} changed, {move} moved, {same} unchanged".format(**plan.totals)
        messages.success(request, f"Imported: {told}.")
        return redirect("admin:hosting_miner_changelist")

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """What the list shows, by its filters and search."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        kind = "xlsx" if request.GET.get("as") == "xlsx" else "csv"
        query = request.GET.copy()
        query.pop("as", None)
        request.GET = query  # type: ignore[assignment]  # the list must not take it for a filter
        shown = self.get_changelist_instance(request).get_queryset(request)
        found = Miner.objects.filter(pk__in=shown.order_by().values("pk"))
        answer = HttpResponse(export_miners(found, kind), content_type=TYPES[kind])
        answer["Content-Disposition"] = f'attachment; filename="miners-{timezone.now():%Y-%m-%d}.{kind}"'
        return answer

    def _dry_run(self, request: HttpRequest, plan: Plan, content: bytes, site: Site | None) -> HttpResponse:
        upload = secrets.token_urlsafe(16)
        if plan.token:
            cache.set(self._key(request, upload), (content, site and site.pk), KEPT_S)
        steps = [step for step in plan.steps if step.kind != "same"]
        return self._page(
            request,
            plan=plan,
            site=site,
            upload=upload,
            steps=steps[:SHOWN],
            more_steps=max(len(steps) - SHOWN, 0),
            problems=plan.problems[: 5 * SHOWN],
            more_problems=max(len(plan.problems) - 5 * SHOWN, 0),
        )

    def _page(self, request: HttpRequest, **context: Any) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            "title": "Import machines",
            "opts": self.model._meta,  # noqa: SLF001  the name admin templates know it by
            "columns": list(COLUMNS),
        }
        return TemplateResponse(request, "admin/hosting/miner/import.html", shared | context)

    def _key(self, request: HttpRequest, upload: str) -> str:
        return f"import-{actor(request).pk}-{upload[:64]}"
