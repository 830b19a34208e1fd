"""Bulk edit: what staff do to the machines that they ticked, each through a verb of hosting.services."""

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.access import actor
from accounts.models import User, UserStatus
from accounts.roles import Role
from accounts.stepup import step_up_required
from hosting import services
from hosting.commands import KeyReused, WrongOrder, order_machines
from hosting.commands.identity import accept
from hosting.control import Order
from hosting.models import Miner, Site
from hosting.models.commands import ORDERS

Miners = QuerySet[Miner]


class SiteForm(forms.Form):
    site = forms.ModelChoiceField(Site.objects.all(), empty_label="Choose a site", widget=UnfoldAdminSelectWidget())


class ClientForm(forms.Form):
    client = forms.ModelChoiceField(
        User.objects.filter(role=Role.CLIENT, status=UserStatus.ACTIVE),
        empty_label="Nobody",
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )


class OrderForm(forms.Form):
    order = forms.ChoiceField(choices=ORDERS, widget=UnfoldAdminSelectWidget())
    watts = forms.IntegerField(
        required=False, help_text="For a power limit.", widget=UnfoldAdminIntegerFieldWidget(), label="Watts"
    )
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget(), help_text="Why, for the log.")
    # Of the page, so that a second press of the button gives the first one's batch.
    key = forms.CharField(widget=forms.HiddenInput, max_length=64)


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="For example sold, burnt, scrapped.",
    )


class MinerActions(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Actions of the miner list; some ask in a form first."""

    actions = (
        "give_order",
        *("to_maintenance", "to_active", "reading_on", "reading_off", "move_to_site", "assign_to_client"),
        *("accept_identity", "retire", "unretire"),
    )

    @admin.action(description="Set to maintenance", permissions=["change"])
    def to_maintenance(self, request: HttpRequest, queryset: Miners) -> None:
        chosen = queryset.count()
        moved = services.start_maintenance(queryset, by=actor(request))
        self._tell(request, chosen, moved, "in maintenance now", "neither active nor offline")

    @admin.action(description="Back to active from maintenance", permissions=["change"])
    def to_active(self, request: HttpRequest, queryset: Miners) -> None:
        chosen = queryset.count()
        moved = services.end_maintenance(queryset, by=actor(request))
        self._tell(request, chosen, moved, "active again", "not in maintenance")

    @admin.action(description="Read every minute", permissions=["change"])
    def reading_on(self, request: HttpRequest, queryset: Miners) -> None:
        chosen = queryset.count()
        moved = services.start_reading(queryset, by=actor(request))
        self._tell(request, chosen, moved, "read every minute now", "read already or without an IP address")

    @admin.action(description="Stop reading", permissions=["change"])
    def reading_off(self, request: HttpRequest, queryset: Miners) -> None:
        chosen = queryset.count()
        moved = services.stop_reading(queryset, by=actor(request))
        self._tell(request, chosen, moved, "read no longer", "not read before")

    @admin.action(description="Move to a site…", permissions=["change"])
    def move_to_site(self, request: HttpRequest, queryset: Miners) -> HttpResponse | None:
        form = self._form(SiteForm, request)
        form.fields["site"].queryset = Site.objects.for_user(actor(request))  # type: ignore[attr-defined]  # a choice of rows
        if not form.is_valid():
            return self._ask(
                request, queryset, form, action="move_to_site", title="Move machines to a site", verb="Move"
            )
        site = form.cleaned_data["site"]
        chosen = queryset.count()
        try:
            moved = services.move_miners(queryset, to=site, by=actor(request))
        except services.AddressTaken as clash:
            form.add_error("site", str(clash))
            return self._ask(
                request, queryset, form, action="move_to_site", title="Move machines to a site", verb="Move"
            )
        self._tell(request, chosen, moved, f"at {site} now", "there already")
        return None

    @admin.action(description="Assign to a client…", permissions=["change"])
    def assign_to_client(self, request: HttpRequest, queryset: Miners) -> HttpResponse | None:
        form = self._form(ClientForm, request)
        if not form.is_valid():
            return self._ask(
                request, queryset, form, action="assign_to_client", title="Assign machines to a client", verb="Assign"
            )
        client = form.cleaned_data["client"]
        chosen = queryset.count()
        moved = services.assign_miners(queryset, client=client, by=actor(request))
        self._tell(request, chosen, moved, f"with {client or 'nobody'} now", "so already")
        return None

    def has_command_permission(self, request: HttpRequest) -> bool:
        return actor(request).may("miner:command")

    @admin.action(description="Give an order…", permissions=["command"])
    @step_up_required
    def give_order(self, request: HttpRequest, queryset: Miners) -> HttpResponse | None:
        form = self._form(OrderForm, request, {"key": uuid4().hex})
        asking = {"action": "give_order", "title": "Give machines an order", "verb": "Order"}
        if not form.is_valid():
            return self._ask(request, queryset, form, **asking)
        asked = form.cleaned_data
        try:
            batch = order_machines(
                queryset,
                Order(asked["order"]),
                watts=asked["watts"],
                reason=asked["reason"],
                idempotency_key=asked["key"],
                by=actor(request),
            )
        except (WrongOrder, KeyReused) as refused:
            form.add_error(None, str(refused))
            return self._ask(request, queryset, form, **asking)
        return redirect("admin:hosting_commandbatch_change", batch.pk)

    @admin.action(description="Accept the machines that answer", permissions=["change"])
    def accept_identity(self, request: HttpRequest, queryset: Miners) -> None:
        chosen = queryset.count()
        accepted = accept(queryset, by=actor(request))
        self._tell(request, chosen, accepted, "known by what answers at the address", "no other machine answered there")

    @admin.action(description="Retire…", permissions=["change"])
    def retire(self, request: HttpRequest, queryset: Miners) -> HttpResponse | None:
        form = self._form(ReasonForm, request)
        if not form.is_valid():
            title = "Retire machines: their history stays, their address and slot are free"
            return self._ask(request, queryset, form, action="retire", title=title, verb="Retire")
        chosen = queryset.count()
        moved = services.retire_miners(queryset, reason=form.cleaned_data["reason"], by=actor(request))
        self._tell(request, chosen, moved, "retired", "curtailed, or retired already")
        return None

    @admin.action(description="Back from retirement", permissions=["change"])
    def unretire(self, request: HttpRequest, queryset: Miners) -> None:
        chosen = queryset.count()
        try:
            moved = services.unretire_miners(queryset, by=actor(request))
        except services.AddressTaken as clash:
            messages.error(request, str(clash))
            return
        self._tell(request, chosen, moved, "in service again, offline and not read yet", "not retired")

    def _form(
        self, form_class: type[forms.Form], request: HttpRequest, initial: dict[str, Any] | None = None
    ) -> forms.Form:
        if "apply" not in request.POST and initial:
            return form_class(initial=initial)
        return form_class(request.POST if "apply" in request.POST else None)

    def _ask(
        self, request: HttpRequest, queryset: Miners, form: forms.Form, *, action: str, title: str, verb: str
    ) -> HttpResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": title,
            "verb": verb,
            "opts": self.model._meta,  # noqa: SLF001  the name admin templates know it by
            "form": form,
            "action": action,
            "count": queryset.count(),
            "serials": list(queryset.order_by("serial_number").values_list("serial_number", flat=True)[:20]),
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/hosting/miner/bulk_change.html", context)

    def _tell(self, request: HttpRequest, chosen: int, moved: int, outcome: str, why_not: str) -> None:
        left = max(chosen - moved, 0)
        text = f"{moved} machine{'' if moved == 1 else 's'} {outcome}."
        if left:
            text += f" {left} left as {'it was' if left == 1 else 'they were'}: {why_not}."
        messages.add_message(request, messages.SUCCESS if moved else messages.WARNING, text)
