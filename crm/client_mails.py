"""The mail to a client whose account was made of a lead; sent by the outbox when it carries the conversion.

There is no secret in it, unlike in an invitation: whoever reads the address's mail asks for a link that sets a password.
"""

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import User, UserStatus
from events.handlers import handler
from events.models import OutboxEvent


@handler("lead.converted", consumer="client welcomes")
def mail_client(event: OutboxEvent) -> None:
    """Nothing for accounts that were there before, are disabled by now, or have a password already."""
    if not event.payload.get("invited"):
        return
    client = User.objects.get(pk=event.payload["client_account_id"])
    if client.status != UserStatus.ACTIVE or client.has_usable_password():
        return
    path = reverse("account_reset_password")
    told = {"name": str(client), "email": client.email, "url": settings.PUBLIC_URL and settings.PUBLIC_URL + path}
    send_mail("Your account at MineFarm", render_to_string("crm/mail/client.txt", told), None, [client.email])
