"""Forms of rules and of sources: common columns, and for each kind its settings as fields of their own."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import User
from curtailment.models import CurtailmentRule, RuleKind, SignalSource
from curtailment.triggers.schedule import DAYS
from curtailment.triggers.signals import FailSafe
from hosting.models import Site

SETTING = "set_"
COMMON = (
    *("name", "priority", "strategy", "target_mw", "share_percent"),
    *("max_minutes", "min_on_minutes", "min_off_minutes", "cool_down_minutes"),
)
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def number(label: str, hint: str, **more: Any) -> forms.DecimalField:
    return forms.DecimalField(label=label, help_text=hint, required=False, **more)


def whole(label: str, hint: str) -> forms.IntegerField:
    return forms.IntegerField(label=label, help_text=hint, required=False)


def clock_time(label: str) -> forms.CharField:
    return forms.CharField(
        label=label, max_length=5, help_text="By the site's clock.", widget=forms.TimeInput(attrs={"type": "time"})
    )


def day(label: str, hint: str) -> forms.DateField:
    return forms.DateField(label=label, help_text=hint, required=False, widget=forms.DateInput(attrs={"type": "date"}))


def settings_fields(kind: str) -> dict[str, forms.Field]:
    """Fields of the kind's settings by their names in the JSON; an empty one takes its default."""
    fields: dict[str, dict[str, forms.Field]] = {
        RuleKind.PRICE: {
            "strike": number("Strike ($/MWh)", "Empty: the break-even of the machines that would stop."),
            "hysteresis_percent": number("Hysteresis (%)", "Nothing changes so near to it. Empty: 3."),
            "windows_above": whole("Windows above", "Of 5 minutes, before it stops machines. Empty: 2."),
            "windows_below": whole("Windows below", "Of 5 minutes, before they come back. Empty: 4."),
            "emergency": number("Emergency price ($/MWh)", "Above it machines stop at once. Empty: none."),
            "adders": number("Paid beside the price ($/MWh)", "Transport and taxes; empty: 0."),
        },
        RuleKind.SCHEDULE: {
            "days": forms.MultipleChoiceField(
                label="Days",
                choices=list(zip(DAYS, DAY_NAMES, strict=True)),
                required=False,
                help_text="On which it begins. None ticked: every day.",
                widget=forms.CheckboxSelectMultiple,
            ),
            "from": clock_time("From"),
            "to": clock_time("To"),
            "first": day("First day", "Empty: from now on."),
            "last": day("Last day", "Empty: until further notice."),
        },
        RuleKind.POWER_CAP: {
            "cap_kw": number("Cap (kW)", "The most that the site's machines may draw."),
            "margin_percent": number("Margin (%)", "They come back when they fit so far below it. Empty: 5."),
            "minutes_above": whole("Minutes above", "Before it stops machines. Empty: 2."),
            "minutes_below": whole("Minutes below", "Before they come back. Empty: 10."),
        },
        RuleKind.TEMPERATURE: {
            "above_c": number("Above (°C)", "Mean of the machines' inlets."),
            "margin_c": number("Margin (°C)", "They come back so far below it. Empty: 2."),
            "minutes_above": whole("Minutes above", "Before it stops machines. Empty: 10."),
            "minutes_below": whole("Minutes below", "Before they come back. Empty: 10."),
            "machines": whole("Machines", "How many must report an inlet. Empty: 3."),
        },
        RuleKind.SIGNAL: {},
    }
    return fields[kind]


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A rule of one kind at one site; what the form cannot tell is told by the rule's own `clean`."""

    class Meta:
        model = CurtailmentRule
        fields = (*COMMON, "source")
        widgets = {"name": forms.TextInput()}

    def __init__(self, data: Any = None, *, instance: CurtailmentRule) -> None:
        super().__init__(data, instance=instance)
        self.kind = RuleKind(instance.kind)
        own: Any = self.fields
        if self.kind == RuleKind.SIGNAL:
            own["source"].queryset = SignalSource.objects.filter(site=instance.site, disabled_at=None)
            own["source"].required = True
        else:
            del own["source"]
        if self.kind == RuleKind.POWER_CAP:
            del own["target_mw"], own["share_percent"]
        self.of_kind = list(settings_fields(self.kind))
        for name, field in settings_fields(self.kind).items():
            own[SETTING + name] = field
            self.initial.setdefault(SETTING + name, instance.settings.get(name))

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        given = {name: _json(found.get(SETTING + name)) for name in self.of_kind}
        self.instance.settings = {name: value for name, value in given.items() if value not in (None, "", [])}
        return found

    def _update_errors(self, errors: ValidationError) -> None:
        """What the rule says of its settings belongs to their fields."""
        told = getattr(errors, "error_dict", {}).pop("settings", [])
        if errors.error_dict if hasattr(errors, "error_dict") else errors.messages:
            super()._update_errors(errors)  # type: ignore[misc]  # Django's hook
        for text in (message for one in told for message in one.messages):
            name, _, message = text.partition(": ")
            field = SETTING + name if SETTING + name in self.fields else None
            self.add_error(field, message or text)

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # Django's hook
        return excluded - {"settings", "kind"}

    def refuse(self, error: ValidationError) -> None:
        """Put what a service refused next to its fields."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, said in error.error_dict.items():
            self.add_error(name if name in self.fields else None, said)

    def common(self) -> list[Any]:
        return [self[name] for name in self.fields if not name.startswith(SETTING)]

    def particular(self) -> list[Any]:
        return [self[SETTING + name] for name in self.of_kind]


class TryForm(forms.Form):
    """The stretch of a back-test, in days of the site's calendar."""

    since = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label="Until", widget=forms.DateInput(attrs={"type": "date"}), help_text="Inclusive.")
    mw = forms.DecimalField(
        label="MW",
        required=False,
        min_value=Decimal("0.000001"),
        max_value=Decimal(100_000),
        help_text="Empty: as it would stop now.",
    )
    efficiency = forms.DecimalField(
        label="J/TH", required=False, min_value=Decimal(1), max_value=Decimal(1000), help_text="Empty: as they run now."
    )

    @classmethod
    def month_before(cls, today: Any) -> "TryForm":
        return cls(initial={"since": today - timedelta(days=30), "until": today - timedelta(days=1)})


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = SignalSource
        fields = ("site", "name", "silent_after_s", "fail_safe")
        widgets = {"name": forms.TextInput(attrs={"placeholder": "Utility, programme"})}

    def __init__(self, *args: Any, by: User, **more: Any) -> None:
        super().__init__(*args, **more)
        sites: Any = self.fields["site"]
        sites.queryset = Site.objects.for_user(by)


class OverrideForm(forms.Form):
    what = forms.ChoiceField(
        label="Instead of it",
        choices=[("", "let the source decide"), *((one.value, one.value) for one in FailSafe)],
        required=False,
    )
    minutes = forms.IntegerField(min_value=5, max_value=1440, initial=60, required=False)


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime) or hasattr(value, "isoformat"):
        return value.isoformat()
    return value
