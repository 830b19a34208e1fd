"""Doors to invoices and payments: customers read what was issued to them, staff issue, credit and enter payments."""

from decimal import Decimal
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import actor
from accounts.models import ApiToken
from accounts.stepup import StepUpRequired, has_stepped_up
from crm.billing.letting_out import issue_draft
from crm.invoice_files import keep_pdf
from crm.invoicing import InvoiceRefused
from crm.models import Invoice, InvoiceLine, Payment
from crm.payments import credit_invoice, part_of, record_payment, with_balance
from crm.states import InvoiceKind, InvoiceStatus, LineKind
from hosting.api import rows
from hosting.api.views import Refused, ResourceView
from minefarm.lib.paging import NewestIdCursor
from minefarm.lib.parameters import RowIdFilter, TruthFilter

OPEN = (
    *("id", "kind", "invoice_number", "client_id", "status", "currency", "net", "tax", "tax_pct", "amount"),
    *("paid_amount", "credited_amount", "open_amount", "period_start", "period_end", "issue_date", "due_date"),
    *("paid_date", "reverses_id", "contract_version_id", "snapshot_id", "notes", "content_hash"),
)
STAFF = ("held_for", "deal_id", "mailed_at", "issued_at", "created_at")
MONEY = ("net", "tax", "tax_pct", "amount", "paid_amount", "credited_amount", "open_amount")
LINE = ("position", "kind", "description", "quantity", "unit", "unit_price", "amount", "detail")
PAYMENT = ("id", "invoice_id", "amount", "received_on", "method", "reference")


def money(**how: Any) -> Any:
    """Amounts are text: a JSON number is read as binary by most programs."""
    return serializers.DecimalField(max_digits=12, decimal_places=2, coerce_to_string=True, **how)


class InvoiceSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=InvoiceKind.choices)
    invoice_number = serializers.CharField(help_text="Of a draft: a place-holder.")
    client_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=InvoiceStatus.choices)
    currency = serializers.CharField()
    net = money()
    tax = money()
    tax_pct = serializers.DecimalField(max_digits=6, decimal_places=3, coerce_to_string=True)
    amount = money(help_text="Net and tax; below zero for a credit note.")
    paid_amount = money()
    credited_amount = money(help_text="Taken off by credit notes.")
    open_amount = money(
        help_text="Amount less what was paid and credited; null for drafts and credit notes.", allow_null=True
    )
    period_start = serializers.DateField(allow_null=True)
    period_end = serializers.DateField(allow_null=True, help_text="First day after.")
    issue_date = serializers.DateField(allow_null=True)
    due_date = serializers.DateField(allow_null=True)
    paid_date = serializers.DateField(allow_null=True)
    reverses_id = serializers.IntegerField(allow_null=True, help_text="Of a credit note: the invoice.")
    contract_version_id = serializers.IntegerField(allow_null=True)
    snapshot_id = serializers.IntegerField(allow_null=True, help_text="The usage that it is computed from.")
    notes = serializers.CharField()
    content_hash = serializers.CharField(allow_null=True, help_text="SHA-256 of what was issued.")
    held_for = serializers.CharField(allow_null=True, required=False, help_text="Why a draft is held back; staff only.")
    deal_id = serializers.IntegerField(allow_null=True, required=False, help_text="Staff only.")
    mailed_at = serializers.DateTimeField(allow_null=True, required=False, help_text="Staff only.")
    issued_at = serializers.DateTimeField(allow_null=True, required=False, help_text="Staff only.")
    created_at = serializers.DateTimeField(required=False, help_text="Staff only.")


class LineSerializer(serializers.Serializer[dict[str, Any]]):
    position = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=LineKind.choices)
    description = serializers.CharField()
    quantity = serializers.DecimalField(max_digits=16, decimal_places=3, coerce_to_string=True)
    unit = serializers.CharField()
    unit_price = serializers.DecimalField(max_digits=16, decimal_places=6, coerce_to_string=True)
    amount = money(help_text="Before tax.")
    detail = serializers.DictField(help_text="How it was computed.")


class InvoiceWithLinesSerializer(InvoiceSerializer):
    lines = LineSerializer(many=True)


class PaymentSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    invoice_id = serializers.IntegerField()
    amount = money(help_text="Below zero: it went back.")
    received_on = serializers.DateField()
    method = serializers.CharField()
    reference = serializers.CharField()
    note = serializers.CharField(required=False, help_text="Staff only.")


class PaySerializer(serializers.Serializer[Any]):
    amount = money(help_text="Below zero: it went back.")
    received_on = serializers.DateField(required=False, help_text="Default: today.")
    method = serializers.CharField(max_length=30, required=False)
    reference = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="The same one is entered once."
    )
    note = serializers.CharField(max_length=500, required=False, allow_blank=True)


class CreditSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=300, help_text="Printed on the credit note.")
    net = money(required=False, min_value=Decimal("0.01"), help_text="A part, before tax; without it all that is left.")


class InvoiceFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=InvoiceStatus.choices, label="Exactly this status.")
    kind = django_filters.ChoiceFilter(choices=InvoiceKind.choices, label="Invoices or credit notes.")
    client = django_filters.UUIDFilter(field_name="client_id", label="Id of the client; staff only.")
    number = django_filters.CharFilter(field_name="invoice_number", label="Exactly this number.")
    reverses = RowIdFilter(field_name="reverses_id", label="Credit notes of this invoice.")
    issued_from = django_filters.DateFilter(field_name="issue_date", lookup_expr="gte", label="Issued on or after.")
    issued_before = django_filters.DateFilter(field_name="issue_date", lookup_expr="lt", label="Issued before.")
    due_before = django_filters.DateFilter(field_name="due_date", lookup_expr="lt", label="Due before.")
    has_usage = TruthFilter(
        field_name="snapshot_id", lookup_expr="isnull", exclude=True, label="true: those computed from usage."
    )

    class Meta:
        model = Invoice
        fields: list[str] = []


class PaymentFilter(django_filters.FilterSet):
    invoice = RowIdFilter(field_name="invoice_id", label="Id of the invoice.")
    received_from = django_filters.DateFilter(field_name="received_on", lookup_expr="gte", label="On or after.")
    received_before = django_filters.DateFilter(field_name="received_on", lookup_expr="lt", label="Before.")

    class Meta:
        model = Payment
        fields: list[str] = []


SEEN = "Customers see what was issued to them; staff see drafts, too. Amounts are text."


@extend_schema(description=SEEN)
class InvoiceView(ResourceView):
    queryset = Invoice.objects.all()
    serializer_class: Any = InvoiceSerializer
    filterset_class = InvoiceFilter
    pagination_class = NewestIdCursor
    http_method_names = ["get", "post", "head", "options"]

    def get_queryset(self) -> QuerySet[Invoice]:
        return with_balance(Invoice.objects.for_user(actor(self.request)))

    def values(self, queryset: QuerySet[Invoice]) -> QuerySet[Invoice, rows.Flat]:
        flat: QuerySet[Invoice, rows.Flat] = queryset.values(*OPEN, *(STAFF if actor(self.request).is_staff else ()))
        return flat

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        row = flat | {name: as_text(name, flat[name]) for name in MONEY}
        if flat["kind"] == InvoiceKind.CREDIT_NOTE or flat["status"] == InvoiceStatus.DRAFT:
            row["open_amount"] = None
        return row

    def read(self, pk: int) -> dict[str, Any]:
        row = super().read(pk)
        lines = InvoiceLine.objects.filter(invoice=row["id"]).order_by("position").values(*LINE)
        decimals = ("quantity", "unit_price", "amount")
        return row | {"lines": [line | {name: str(line[name]) for name in decimals} for line in lines]}

    @extend_schema(summary="List invoices and credit notes, newest first", responses=InvoiceSerializer(many=True))
    def list(self, request: Request) -> Response:
        return super().list(request)

    @extend_schema(summary="Read one invoice with its lines", responses=InvoiceWithLinesSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        return super().retrieve(request, pk)

    @extend_schema(exclude=True)
    def create(self, request: Request) -> Response:
        raise Http404

    @extend_schema(
        summary="Issue a draft (staff)",
        description="Gives it its number for ever and mails it. By a person who has just proved who they are, not by a token.",
        request=None,
        responses=InvoiceWithLinesSerializer,
    )
    @action(detail=True, methods=["post"], serializer_class=serializers.Serializer)
    def issue(self, request: Request, pk: int) -> Response:
        invoice = self.chosen(request, "invoice:issue")
        proven(request)
        try:
            keep_pdf(issue_draft(invoice, by=actor(request)))
        except InvoiceRefused as refusal:
            raise Refused(str(refusal)) from refusal
        return Response(self.read(pk))

    @extend_schema(
        summary="Issue a credit note for an invoice (staff)",
        description="By a person who has just proved who they are, not by a token. 409 for more than is left.",
        request=CreditSerializer,
        responses={201: InvoiceWithLinesSerializer},
    )
    @action(detail=True, methods=["post"], serializer_class=CreditSerializer)
    def credit(self, request: Request, pk: int) -> Response:
        invoice = self.chosen(request, "invoice:void")
        proven(request)
        asked = self.asked(request)
        lines = part_of(invoice, asked["net"], asked["reason"]) if "net" in asked else None
        try:
            note = keep_pdf(credit_invoice(invoice, lines=lines, reason=asked["reason"], by=actor(request)))
        except InvoiceRefused as refusal:
            raise Refused(str(refusal)) from refusal
        return Response(self.read(note.pk), status.HTTP_201_CREATED)

    @extend_schema(
        summary="Enter a payment for an invoice (staff)",
        description="A person proves that it is they; a program's token with the scope write stands for itself.",
        request=PaySerializer,
        responses={201: PaymentSerializer},
    )
    @action(detail=True, methods=["post"], serializer_class=PaySerializer)
    def pay(self, request: Request, pk: int) -> Response:
        invoice = self.chosen(request, "payment:add")
        if not isinstance(request.auth, ApiToken):
            proven(request)
        try:
            payment = record_payment(invoice, **self.asked(request), by=actor(request))
        except InvoiceRefused as refusal:
            raise Refused(str(refusal)) from refusal
        return Response(payment_row(payment.__dict__ | {"note": payment.note}), status.HTTP_201_CREATED)

    def chosen(self, request: Request, permission: str) -> Invoice:
        """The invoice, for those who may do that; 404 for others."""
        if not actor(request).may(permission):
            raise Http404
        found: Invoice = self.get_object()
        return found

    def asked(self, request: Request) -> dict[str, Any]:
        sent = self.get_serializer(data=request.data)
        sent.is_valid(raise_exception=True)
        return dict(sent.validated_data)


@extend_schema(description="Customers see payments for their invoices.")
class PaymentView(ResourceView):
    queryset = Payment.objects.all()
    serializer_class: Any = PaymentSerializer
    filterset_class = PaymentFilter
    pagination_class = NewestIdCursor
    http_method_names = ["get", "head", "options"]

    def get_queryset(self) -> QuerySet[Payment]:
        return Payment.objects.for_user(actor(self.request))

    def values(self, queryset: QuerySet[Payment]) -> QuerySet[Payment, rows.Flat]:
        flat: QuerySet[Payment, rows.Flat] = queryset.values(
            *PAYMENT, *(("note",) if actor(self.request).is_staff else ())
        )
        return flat

    def row(self, flat: rows.Flat) -> dict[str, Any]:
        return payment_row(flat)

    @extend_schema(summary="List payments, newest first", responses=PaymentSerializer(many=True))
    def list(self, request: Request) -> Response:
        return super().list(request)

    @extend_schema(summary="Read one payment", responses=PaymentSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        return super().retrieve(request, pk)


def payment_row(flat: rows.Flat) -> dict[str, Any]:
    row = {name: flat[name] for name in PAYMENT} | {"amount": as_text("amount", flat["amount"])}
    return row | ({"note": flat["note"]} if "note" in flat else {})


def as_text(name: str, amount: Decimal) -> str:
    return f"{amount:.{3 if name == 'tax_pct' else 2}f}"


def proven(request: Request) -> None:
    """Raises StepUpRequired for a token, and for a person without a fresh proof."""
    if isinstance(request.auth, ApiToken) or not has_stepped_up(request):
        raise StepUpRequired
