"""API tokens: django-rest-knox's model, swapped for ours."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_login_records'),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiToken',
            fields=[
                ('created', models.DateTimeField(auto_now_add=True)),
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('digest', models.CharField(editable=False, max_length=128, unique=True)),
                ('token_key', models.CharField(db_index=True, editable=False, max_length=25, verbose_name='starts with')),
                ('name', models.CharField(help_text='Where it is used.', max_length=100)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(choices=[('read', 'Read what you may see'), ('write', 'Change what you may change')]), size=None)),
                ('addresses', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), blank=True, default=list, help_text='Networks; empty: from anywhere.', size=None)),
                ('expiry', models.DateTimeField(verbose_name='expires')),
                ('last_used_at', models.DateTimeField(editable=False, help_text='Within a minute.', null=True)),
                ('revoked_at', models.DateTimeField(editable=False, null=True)),
                ('revoked_by', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'API token',
                'db_table': 'api_tokens',
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['read', 'write'])), name='api_tokens_scopes_known')],
            },
        ),
    ]
