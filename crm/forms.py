"""Forms of the pages of leads and deals."""

from typing import Any

from django import forms

from crm.states import ActivityKind

LINE = 200
TEXT = 5000


class ActivityForm(forms.Form):
    kind = forms.ChoiceField(choices=ActivityKind.choices, initial=ActivityKind.NOTE)
    subject = forms.CharField(max_length=LINE, label="What")
    body = forms.CharField(max_length=TEXT, required=False, label="More", widget=forms.Textarea({"rows": 3}))
    due_date = forms.DateField(required=False, label="Due", widget=forms.DateInput({"type": "date"}))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("due_date") and cleaned.get("kind") != ActivityKind.TASK:
            raise forms.ValidationError("Only a task has a day on which it is due.")
        return cleaned


class ConvertForm(forms.Form):
    client_email = forms.EmailField(label="The client's e-mail", required=False)
    title = forms.CharField(max_length=LINE, label="Name of the deal", required=False)
