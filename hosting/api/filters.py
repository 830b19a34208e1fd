import django_filters
from django.db.models import QuerySet

from hosting import summary
from hosting.models import Miner
from hosting.states import MinerStatus
from minefarm.lib.parameters import RowIdFilter


class MinerFilter(django_filters.FilterSet):
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    model = RowIdFilter(field_name="miner_model_id", label="Id of the model.")
    status = django_filters.ChoiceFilter(choices=MinerStatus.choices, label="Exactly this status.")
    client = django_filters.UUIDFilter(field_name="client_id", label="Id of the owner; staff only.")
    serial = django_filters.CharFilter(
        field_name="serial_number", lookup_expr="icontains", label="Part of the serial number."
    )
    q = django_filters.CharFilter(method="search", label="Part of the serial number, the model's or the site's name.")

    class Meta:
        model = Miner
        fields: list[str] = []

    def search(self, miners: QuerySet[Miner], _name: str, text: str) -> QuerySet[Miner]:
        return summary.search(miners, {"q": text})

    def filter_queryset(self, queryset: QuerySet[Miner]) -> QuerySet[Miner]:
        if self.form.cleaned_data.get("client") and not self.request.user.is_staff:
            self.form.cleaned_data["client"] = None  # a customer's list is their own already
        filtered: QuerySet[Miner] = super().filter_queryset(queryset)
        return filtered
