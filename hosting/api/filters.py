from datetime import date

import django_filters
from django.db.models import QuerySet
from django.utils import timezone

from hosting import summary
from hosting.models import Miner
from hosting.states import MinerStatus
from minefarm.lib.parameters import RowIdFilter, TruthFilter


class MinerFilter(django_filters.FilterSet):
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    model = RowIdFilter(field_name="miner_model_id", label="Id of the model.")
    status = django_filters.ChoiceFilter(choices=MinerStatus.choices, label="Exactly this status.")
    client = django_filters.UUIDFilter(field_name="client_id", label="Id of the owner; staff only.")
    serial = django_filters.CharFilter(
        field_name="serial_number", lookup_expr="icontains", label="Part of the serial number."
    )
    rack = RowIdFilter(field_name="rack_id", label="Id of the rack; staff only.")
    warranty_until = django_filters.DateFilter(method="warranty_ends", label="Warranty ends from today up to this day.")
    retired = TruthFilter(
        field_name="retired_at",
        lookup_expr="isnull",
        exclude=True,
        label="true: retired machines instead of those in service.",
    )
    q = django_filters.CharFilter(method="search", label="Part of the serial number, the model's or the site's name.")

    class Meta:
        model = Miner
        fields: list[str] = []

    def search(self, miners: QuerySet[Miner], _name: str, text: str) -> QuerySet[Miner]:
        return summary.search(miners, {"q": text})

    def warranty_ends(self, miners: QuerySet[Miner], _name: str, day: date) -> QuerySet[Miner]:
        return miners.filter(warranty_expiry__range=(timezone.now().date(), day))

    def filter_queryset(self, queryset: QuerySet[Miner]) -> QuerySet[Miner]:
        if not self.request.user.is_staff:
            self.form.cleaned_data |= {"client": None, "rack": None}  # a customer's list is their own already
        if self.form.cleaned_data.get("retired") is None:
            self.form.cleaned_data["retired"] = False
        filtered: QuerySet[Miner] = super().filter_queryset(queryset)
        return filtered
