"""What customers' requests may read of accounts: their own, without the password's hash. They make and revoke their tokens."""

from django.db import migrations

from minefarm.lib.rls import portal_role, protect

NEW_TOKEN = (
    'created', 'digest', 'token_key', 'user_id', 'name', 'scopes', 'addresses', 'expiry', 'last_used_at', 'revoked_at', 'revoked_by_id',
)


class Migration(migrations.Migration):

    dependencies = [("accounts", "0004_api_tokens")]

    operations = [
        portal_role(),
        protect("users", using="id = {me}", hide=["password_hash"]),
        protect("api_tokens", using="user_id = {me}", insert=NEW_TOKEN, update=["revoked_at", "revoked_by_id"]),
    ]
