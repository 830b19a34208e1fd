"""What staff do to the machines that they chose: each verb is one of hosting.services, or an order to the machines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django import forms
from django.db.models import QuerySet

from accounts.models import User, UserStatus
from accounts.roles import Role
from hosting import services
from hosting.commands.ordering import WATTS, order_machines
from hosting.control.orders import Order
from hosting.models import Miner, Site

Work = Callable[["QuerySet[Miner]", dict[str, Any], User], int]


class VerbForm(forms.Form):
    """What a verb asks for before it runs; `reachable` are the sites of whoever asks."""

    def __init__(self, *args: Any, reachable: "QuerySet[Site]", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "site" in self.fields:
            self.fields["site"].queryset = reachable  # type: ignore[attr-defined]  # a ModelChoiceField
        for field in self.fields.values():
            look = "form-select" if isinstance(field, forms.ModelChoiceField) else "form-control"
            field.widget.attrs.setdefault("class", look)


class ReasonForm(VerbForm):
    reason = forms.CharField(required=False, max_length=500, help_text="It goes into each machine's log.")


class OrderForm(VerbForm):
    reason = forms.CharField(max_length=500, help_text="Why, for whoever reads the log later.")
    # Of the page, so that a second press of the button gives the first one's batch.
    key = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].initial = uuid4().hex


class PowerLimitForm(OrderForm):
    watts = forms.IntegerField(min_value=WATTS.start, max_value=WATTS.stop - 1, help_text="At the wall, per machine.")


class SiteForm(VerbForm):
    site = forms.ModelChoiceField(Site.objects.none(), empty_label="Choose a site")


class ClientForm(VerbForm):
    client = forms.ModelChoiceField(
        User.objects.filter(role=Role.CLIENT, status=UserStatus.ACTIVE), empty_label="Nobody", required=False
    )


@dataclass(frozen=True, slots=True)
class Verb:
    """`done` and `why_not` complete "12 machines …" and "3 left as they were: …"."""

    title: str
    done: str
    why_not: str
    work: Work
    form: type[VerbForm] = VerbForm
    permission: str = "miner:change"
    order: Order | None = None  # to the machines themselves: asks for a fresh proof, and leads to its batch


def give(order: Order) -> Work:
    """Write the order down and tell the workers; the number of its batch instead of a count."""

    def work(miners: "QuerySet[Miner]", asked: dict[str, Any], by: User) -> int:
        batch = order_machines(
            miners, order, watts=asked.get("watts"), reason=asked["reason"], idempotency_key=asked["key"], by=by
        )
        return int(batch.pk)

    return work


def order_verb(order: Order, title: str, form: type[VerbForm] = OrderForm) -> Verb:
    return Verb(title, "", "", give(order), form, "miner:command", order)


VERBS: dict[str, Verb] = {
    "maintenance": Verb(
        "Set to maintenance",
        "in maintenance now",
        "neither active nor offline",
        lambda miners, asked, by: services.start_maintenance(miners, reason=asked["reason"], by=by),
        ReasonForm,
    ),
    "activate": Verb(
        "Back to active from maintenance",
        "active again",
        "not in maintenance",
        lambda miners, asked, by: services.end_maintenance(miners, reason=asked["reason"], by=by),
        ReasonForm,
    ),
    "reading_on": Verb(
        "Read every minute",
        "read every minute now",
        "read already or without an IP address",
        lambda miners, _asked, by: services.start_reading(miners, by=by),
    ),
    "reading_off": Verb(
        "Stop reading",
        "read no longer",
        "not read anyway",
        lambda miners, _asked, by: services.stop_reading(miners, by=by),
    ),
    "move": Verb(
        "Move to a site…",
        "there now",
        "there already",
        lambda miners, asked, by: services.move_miners(miners, to=asked["site"], by=by),
        SiteForm,
    ),
    "assign": Verb(
        "Assign to a client…",
        "assigned now",
        "so already",
        lambda miners, asked, by: services.assign_miners(miners, client=asked["client"], by=by),
        ClientForm,
    ),
    "sleep": order_verb(Order.SLEEP, "Order: sleep…"),
    "wake": order_verb(Order.WAKE, "Order: wake…"),
    "reboot": order_verb(Order.REBOOT, "Order: reboot…"),
    "set_power_limit": order_verb(Order.POWER_LIMIT, "Order: power limit…", PowerLimitForm),
    "locate": order_verb(Order.LOCATE, "Order: blink…"),
}


def outcome(verb: Verb, chosen: int, moved: int) -> str:
    """What became of it, for people."""
    text = f"{moved:,} machine{'' if moved == 1 else 's'} {verb.done}."
    left = max(chosen - moved, 0)
    if left:
        text += f" {left:,} left as {'it was' if left == 1 else 'they were'}: {verb.why_not}."
    return text
