"""Doors to curtailment plans: draft, write, approve, cancel, extend, restore; clients read what stops their machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.access import RolePermissions, actor
from accounts.models import ApiToken
from accounts.stepup import StepUpRequired, has_stepped_up
from curtailment.api import rows
from curtailment.api.serializers import (
    ApproveSerializer,
    AskSerializer,
    CancelSerializer,
    EditSerializer,
    ExtendSerializer,
    PlanSerializer,
    PreviewSerializer,
    ReasonSerializer,
    TargetSerializer,
)
from curtailment.drafting import Ask, Draft, WrongPlan, draft_plan
from curtailment.lifecycle import approve_plan, cancel_plan, extend_plan
from curtailment.models import CurtailmentPlan, PlanMiner
from curtailment.overrides import hand_over, release_miner, restore_now
from curtailment.planning import KeyReused, create_plan, edit_plan
from curtailment.refusals import IllegalMove, NotAllowed, PlanConflict, StaleVersion, WrongInput
from curtailment.states import PlanStatus, Priority, Strategy, TargetState
from hosting.models import Site
from minefarm.lib.paging import IdCursor, NewestIdCursor
from minefarm.lib.parameters import PAGE_PARAMETERS, RowIdFilter, TruthFilter, refuse_unknown_parameters

KEY = "Idempotency-Key"
SEEN = "Clients see plans with machines of theirs once they are approved, and nothing of others' machines or totals."


class Clash(APIException):
    """What is asked for does not go with how the plan is now."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


@contextmanager
def refusals_answered() -> Iterator[None]:
    """400 for what cannot be, 403 for who may not, 409 for how things stand."""
    try:
        yield
    except NotAllowed as refused:
        raise PermissionDenied(str(refused)) from None
    except KeyReused as refused:
        raise Clash(str(refused), code="key_reused") from None
    except (IllegalMove, StaleVersion, PlanConflict) as refused:
        raise Clash(str(refused)) from None
    except (WrongPlan, WrongInput) as refused:
        raise ValidationError(str(refused)) from None


def prove(request: Request) -> None:
    """Raises PermissionDenied (403) for a token, and StepUpRequired for a person without a fresh proof."""
    if isinstance(request.auth, ApiToken):
        raise PermissionDenied("A token cannot do this: sign in, and confirm that it is you.")
    if not has_stepped_up(request):
        raise StepUpRequired


class PlanFilter(django_filters.FilterSet):
    site = RowIdFilter(field_name="site_id", label="Id of the site.")
    status = django_filters.ChoiceFilter(choices=PlanStatus.choices, label="Exactly this status.")
    live = TruthFilter(method="of_live", label="Approved, or with machines that are not all back.")

    class Meta:
        model = CurtailmentPlan
        fields: list[str] = []

    def of_live(self, queryset: QuerySet[CurtailmentPlan], _name: str, value: bool) -> QuerySet[CurtailmentPlan]:
        live = CurtailmentPlan.objects.live().values("pk")
        return queryset.filter(pk__in=live) if value else queryset.exclude(pk__in=live)


class PlanPermissions(RolePermissions):
    """Who may see plans comes in; each step asks for its own permission (curtailment:plan, stop, approve, override)."""

    perms_map = {
        **RolePermissions.perms_map,
        "POST": RolePermissions.perms_map["GET"],
        "PATCH": RolePermissions.perms_map["GET"],
    }


@extend_schema_view(
    list=extend_schema(summary="List curtailment plans, newest first", responses=PlanSerializer(many=True)),
    retrieve=extend_schema(summary="Read one plan", responses=PlanSerializer),
)
@extend_schema(description=SEEN)
class PlanView(viewsets.GenericViewSet[Any]):
    # No docstring: the schema would print it.

    queryset = CurtailmentPlan.objects.all()
    serializer_class: Any = PlanSerializer
    filterset_class = PlanFilter
    permission_classes = (PlanPermissions,)
    pagination_class: Any = NewestIdCursor
    http_method_names = ["get", "post", "patch", "head", "options"]
    lookup_value_converter = "int"

    def get_queryset(self) -> QuerySet[CurtailmentPlan]:
        return CurtailmentPlan.objects.for_user(actor(self.request))

    def list(self, request: Request) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | set(PlanFilter.base_filters))
        found = self.filter_queryset(self.get_queryset()).values(*rows.plan_columns(staff=self.staff))
        page = self.paginate_queryset(found) or []
        return self.get_paginated_response([rows.plan_row(flat, staff=self.staff) for flat in page])

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response(self.read(pk))

    @extend_schema(
        summary="Plan to stop machines (staff)",
        description=f"It waits for approval by somebody else. With the header `{KEY}` the same call again gives the same plan.",
        parameters=[OpenApiParameter(KEY, OpenApiTypes.STR, OpenApiParameter.HEADER)],
        request=AskSerializer,
        responses={200: PlanSerializer, 201: PlanSerializer},
    )
    def create(self, request: Request) -> Response:
        newest = CurtailmentPlan.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        with refusals_answered():
            plan = create_plan(self.drafted(request), idempotency_key=request.headers.get(KEY), by=actor(request))
        location = reverse("api:curtailment-plan-detail", args=[plan.pk], request=request)
        code = status.HTTP_201_CREATED if plan.pk > newest else status.HTTP_200_OK
        return Response(self.read(plan.pk), code, headers={"Location": location})

    @extend_schema(
        summary="Show what a plan would stop, and write nothing (staff)",
        request=AskSerializer,
        responses=PreviewSerializer,
    )
    @action(detail=False, methods=["post"], url_path="preview")
    def preview(self, request: Request) -> Response:
        with refusals_answered():
            draft = self.drafted(request)
        return Response(
            {
                "site_id": draft.ask.site.pk,
                "scheduled_time": draft.ask.starts_at,
                "recovery_time": draft.ask.ends_at,
                "machines": [one.miner_id for one in draft.selection.chosen],
                "planned_mw": float(draft.planned_mw),
                "preview": draft.preview,
            }
        )

    @extend_schema(
        summary="Change a plan before it begins (staff)",
        description="Machines are selected anew, and it has to be approved again. 409 when it was changed since that version.",
        request=EditSerializer,
        responses=PlanSerializer,
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        plan = self.chosen(pk, "curtailment:plan")
        asked = self.sent(EditSerializer, request)
        names = {"scheduled_time": "starts_at", "recovery_time": "ends_at"}
        changes = {names.get(name, name): value for name, value in asked.items() if name != "version"}
        changes |= {name: kind(changes[name]) for name, kind in KINDS.items() if name in changes}
        if "miners" in changes:
            changes["miners"] = None if changes["miners"] is None else frozenset(changes["miners"])
        with refusals_answered():
            edit_plan(plan, version=asked["version"], by=actor(request), **changes)
        return Response(self.read(pk))

    @extend_schema(
        summary="Let a plan run (administrators, in person)",
        description=(
            "By somebody else than who made or last edited it, with the version and hash that were shown. 409 when the plan"
            " changed since, or other plans stop machines of it in that time. Tokens cannot approve."
        ),
        request=ApproveSerializer,
        responses=PlanSerializer,
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: int) -> Response:
        return self.in_person(request, self.chosen(pk, "curtailment:approve"), ApproveSerializer, approve_plan)

    @extend_schema(
        summary="Let a plan last longer (administrators, in person)",
        description="By a second person, within what the site allows. Tokens cannot extend.",
        request=ExtendSerializer,
        responses=PlanSerializer,
    )
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, pk: int) -> Response:
        return self.in_person(request, self.chosen(pk, "curtailment:approve"), ExtendSerializer, extend_plan)

    @extend_schema(
        summary="Cancel a plan (staff)",
        description="One that waits does not begin; machines of one that runs come back with the next pass.",
        request=CancelSerializer,
        responses=PlanSerializer,
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        plan = self.chosen(pk, "curtailment:stop")
        asked = self.sent(CancelSerializer, request)
        plan.version = asked.pop("version", plan.version)
        with refusals_answered():
            cancel_plan(plan, by=actor(request), **asked)
        return Response(self.read(pk))

    @extend_schema(
        summary="Bring a plan's machines back now (administrators, in person)",
        request=ReasonSerializer,
        responses=PlanSerializer,
    )
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: int) -> Response:
        return self.in_person(request, self.chosen(pk, "curtailment:override"), ReasonSerializer, restore_now)

    @extend_schema(
        operation_id="curtailment_plans_targets",
        summary="Machines of a plan, in the order of their rows",
        parameters=[OpenApiParameter("state", str, enum=TargetState.values)],
        responses=TargetSerializer(many=True),
    )
    @action(detail=True, url_path="targets", filter_backends=(), pagination_class=IdCursor)
    def targets(self, request: Request, pk: int) -> Response:
        refuse_unknown_parameters(request, PAGE_PARAMETERS | {"state"})
        self.exists(pk)
        found = PlanMiner.objects.for_user(actor(request)).filter(plan=pk)
        if wanted := request.query_params.get("state"):
            if wanted not in TargetState.values:
                raise ValidationError({"state": f"Use one of {', '.join(TargetState.values)}."})
            found = found.filter(state=wanted)
        page = self.paginate_queryset(rows.target_values(found, staff=self.staff)) or []
        return self.get_paginated_response([rows.target_row(flat) for flat in page])

    @extend_schema(
        summary="Take one machine out of a plan and bring it back (staff)",
        request=ReasonSerializer,
        responses=TargetSerializer,
    )
    @action(detail=True, methods=["post"], url_path="targets/<int:miner>/release")
    def release(self, request: Request, pk: int, miner: int) -> Response:
        plan = self.chosen(pk, "curtailment:stop")
        target = get_object_or_404(plan.targets.select_related("plan", "miner"), miner=miner)
        with refusals_answered():
            release_miner(target, by=actor(request), **self.sent(ReasonSerializer, request))
        return Response(rows.target_row(rows.target_values(plan.targets.filter(pk=target.pk), staff=True).get()))

    @extend_schema(
        summary="Leave a machine that does not come back to people, with a ticket (staff)",
        request=ReasonSerializer,
        responses=PlanSerializer,
    )
    @action(detail=True, methods=["post"], url_path="targets/<int:miner>/hand_over")
    def hand_over(self, request: Request, pk: int, miner: int) -> Response:
        plan = self.chosen(pk, "curtailment:override")
        target = get_object_or_404(plan.targets.select_related("plan", "miner"), miner=miner)
        return self.in_person(request, plan, ReasonSerializer, lambda _plan, **given: hand_over(target, **given))

    # --- what they share ------------------------------------------------------------------------------------------------

    @property
    def staff(self) -> bool:
        return actor(self.request).is_staff

    def read(self, pk: int) -> rows.Flat:
        flat = get_object_or_404(self.get_queryset().values(*rows.plan_columns(staff=self.staff)), pk=pk)
        return rows.plan_row(flat, staff=self.staff)

    def exists(self, pk: int) -> None:
        """Raises Http404 for a plan that is not theirs to see."""
        if not self.get_queryset().filter(pk=pk).exists():
            raise Http404

    def chosen(self, pk: int, permission: str) -> CurtailmentPlan:
        """The plan, for somebody who may do this at its site; 404 when it is not theirs to see."""
        self.exists(pk)
        if not actor(self.request).may(permission):
            raise PermissionDenied
        return CurtailmentPlan.objects.select_related("site").get(pk=pk)

    def sent(self, kind: Any, request: Request) -> dict[str, Any]:
        asked = kind(data=request.data)
        asked.is_valid(raise_exception=True)
        return dict(asked.validated_data)

    def in_person(self, request: Request, plan: CurtailmentPlan, kind: Any, step: Any) -> Response:
        """A step that a program's token never takes, and a person takes after a fresh proof."""
        prove(request)
        with refusals_answered():
            step(plan, by=actor(request), **self.sent(kind, request))
        return Response(self.read(plan.pk))

    def drafted(self, request: Request) -> Draft:
        """What the body asks for. Raises ValidationError, PermissionDenied and what draft_plan does."""
        user = actor(request)
        if not user.may("curtailment:plan"):
            raise PermissionDenied
        asked = self.sent(AskSerializer, request)
        site = Site.objects.for_user(user).filter(pk=asked["site_id"]).first()
        if site is None:
            raise ValidationError({"site_id": f"There is no site {asked['site_id']}."})
        named = asked.get("miners")
        return draft_plan(
            Ask(
                site=site,
                starts_at=asked["scheduled_time"],
                ends_at=asked["recovery_time"],
                target_mw=asked.get("target_mw"),
                strategy=Strategy(asked["strategy"]),
                miners=None if named is None else frozenset(named),
                priority=Priority(asked["priority"]),
                reason=asked["reason"],
            )
        )


KINDS: dict[str, Any] = {"strategy": Strategy, "priority": Priority}
