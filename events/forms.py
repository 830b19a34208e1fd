"""Forms about endpoints: what a form alone can tell is told here, the rest by the services."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from events.registration import DESCRIPTION_LENGTH, offers

TARGET_LENGTH = 2000


def choices() -> list[tuple[str, str]]:
    return [(offer.event_type, offer.tells) for offer in offers()]


class ChangeForm(forms.Form):
    """What may be said anew of an endpoint: what it hears of, and what it is called."""

    event_types = forms.MultipleChoiceField(
        choices=choices,
        required=False,
        label="Events to hear of",
        help_text="Tick none to hear of every event, also of kinds that come later.",
        widget=forms.CheckboxSelectMultiple,
    )
    description = forms.CharField(
        required=False,
        max_length=DESCRIPTION_LENGTH,
        help_text="For you, to tell it from others.",
        widget=forms.TextInput(attrs={"placeholder": "Ticket system"}),
    )

    def refuse(self, error: ValidationError) -> None:
        """Put what a service refused next to the fields that it names, the rest above the form."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, said in error.error_dict.items():
            self.add_error(name if name in self.fields else None, said)


class WebhookForm(ChangeForm):
    target = forms.CharField(
        max_length=TARGET_LENGTH,
        label="URL",
        help_text="Where events are posted to, as JSON over https.",
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/minefarm", "autocomplete": "off"}),
    )
    field_order = ("target", "event_types", "description")

    def clean_target(self) -> str:
        text: Any = self.cleaned_data["target"]
        return str(text).strip()
