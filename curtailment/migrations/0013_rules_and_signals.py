"""Rules that make plans by themselves, sources of signals, and their signals; all of it staff's, out of customers' reach."""

import curtailment.triggers.signals
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('curtailment', '0011_words'),
        ('hosting', '0022_excused_time'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CurtailmentRule',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('name', models.TextField()),
                ('kind', models.TextField(choices=[('schedule', 'times of the week'), ('price', 'price of electricity'), ('power_cap', 'power cap of the site'), ('temperature', 'air at the inlets'), ('signal', 'signal of a utility')])),
                ('priority', models.TextField(choices=[('normal', 'Normal'), ('high', 'High'), ('emergency', 'Emergency')], db_default='normal', default='normal')),
                ('strategy', models.TextField(choices=[('least_efficient', 'least efficient first'), ('lowest_margin', 'lowest margin first'), ('fair_share', 'fair share over clients'), ('tiers', 'standard before VIP'), ('racks', 'whole racks'), ('circuits', 'whole circuits')], db_default='least_efficient', default='least_efficient')),
                ('target_mw', models.DecimalField(blank=True, decimal_places=6, max_digits=12, null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name='target (MW)')),
                ('share_percent', models.DecimalField(blank=True, decimal_places=2, help_text='Of what the site draws when it begins. With neither MW nor a share: every machine that may be stopped.', max_digits=5, null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)], verbose_name='share of the site (%)')),
                ('settings', models.JSONField(blank=True, default=dict)),
                ('min_on_minutes', models.PositiveIntegerField(default=15, help_text='Once it has stopped.', validators=[django.core.validators.MaxValueValidator(10080)], verbose_name='off at least (min)')),
                ('min_off_minutes', models.PositiveIntegerField(default=30, help_text='Before it stops again.', validators=[django.core.validators.MaxValueValidator(10080)], verbose_name='on at least (min)')),
                ('cool_down_minutes', models.PositiveIntegerField(default=60, help_text='After the longest time was reached, or somebody ended it by hand.', validators=[django.core.validators.MaxValueValidator(10080)], verbose_name='rest (min)')),
                ('max_minutes', models.PositiveIntegerField(default=240, help_text="The site's own longest time counts, too.", validators=[django.core.validators.MinValueValidator(5), django.core.validators.MaxValueValidator(10080)], verbose_name='longest time (min)')),
                ('version', models.IntegerField(db_default=1, default=1, editable=False)),
                ('content_hash', models.TextField(default='', editable=False)),
                ('edited_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('tried_hash', models.TextField(db_default='', default='', editable=False, help_text='What was shown in a dry run.')),
                ('tried_at', models.DateTimeField(editable=False, null=True)),
                ('armed', models.BooleanField(db_default=False, default=False, editable=False)),
                ('armed_at', models.DateTimeField(editable=False, null=True)),
                ('last_evaluated_at', models.DateTimeField(editable=False, null=True)),
                ('last_result', models.TextField(db_default='', default='', editable=False)),
                ('active_since', models.DateTimeField(editable=False, null=True)),
                ('ended_at', models.DateTimeField(editable=False, null=True)),
                ('rests', models.BooleanField(db_default=False, default=False, editable=False)),
                ('counted_window', models.DateTimeField(editable=False, null=True)),
                ('windows_above', models.IntegerField(db_default=0, default=0, editable=False)),
                ('windows_below', models.IntegerField(db_default=0, default=0, editable=False)),
                ('armed_by', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('edited_by', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('site', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='curtailment_rules', to='hosting.site')),
            ],
            options={
                'verbose_name': 'curtailment rule',
                'db_table': 'curtailment_rules',
                'ordering': ['site', 'name'],
            },
        ),
        migrations.AddField(
            model_name='curtailmentplan',
            name='rule',
            field=models.ForeignKey(blank=True, help_text='The rule that made it; its arming is the approval.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='plans', to='curtailment.curtailmentrule'),
        ),
        migrations.CreateModel(
            name='SignalSource',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.TextField(help_text='Who it is, such as the utility and its programme.')),
                ('token_digest', models.TextField(editable=False, null=True, unique=True)),
                ('token_prefix', models.TextField(editable=False, null=True, verbose_name='token starts with')),
                ('sealed_secret', models.TextField(editable=False, null=True)),
                ('silent_after_s', models.PositiveIntegerField(blank=True, help_text='For a source that promised a heartbeat: how long it may be silent. Usual: 240. Empty: it promised none.', null=True, validators=[django.core.validators.MinValueValidator(30), django.core.validators.MaxValueValidator(86400)], verbose_name='silent after (s)')),
                ('fail_safe', models.TextField(choices=[(curtailment.triggers.signals.FailSafe['HOLD'], 'leave everything as it is'), (curtailment.triggers.signals.FailSafe['RESTORE'], 'bring the machines back'), (curtailment.triggers.signals.FailSafe['CURTAIL'], 'stop the machines')], db_default=curtailment.triggers.signals.FailSafe['HOLD'], default=curtailment.triggers.signals.FailSafe['HOLD'], verbose_name='while it is silent')),
                ('override', models.TextField(choices=[(curtailment.triggers.signals.FailSafe['HOLD'], 'hold'), (curtailment.triggers.signals.FailSafe['RESTORE'], 'restore'), (curtailment.triggers.signals.FailSafe['CURTAIL'], 'curtail')], editable=False, help_text='What a person decided instead of it.', null=True)),
                ('override_until', models.DateTimeField(editable=False, null=True)),
                ('last_heard_at', models.DateTimeField(editable=False, null=True)),
                ('silent_since', models.DateTimeField(editable=False, help_text='When it was told to be silent.', null=True)),
                ('disabled_at', models.DateTimeField(editable=False, null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('created_by', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('overridden_by', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('site', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='signal_sources', to='hosting.site')),
            ],
            options={
                'verbose_name': 'signal source',
                'db_table': 'curtailment_signal_sources',
                'ordering': ['site', 'name'],
            },
        ),
        migrations.CreateModel(
            name='Signal',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('external_id', models.TextField(help_text="The source's own name for the message: the same again changes nothing.")),
                ('event', models.TextField(blank=True, db_default='', default='', help_text='What it is about; empty: all it asked.')),
                ('kind', models.TextField(choices=[(curtailment.triggers.signals.Kind['START'], 'start'), (curtailment.triggers.signals.Kind['STOP'], 'stop'), (curtailment.triggers.signals.Kind['LEVEL'], 'level'), (curtailment.triggers.signals.Kind['HEARTBEAT'], 'heartbeat')])),
                ('level', models.DecimalField(decimal_places=2, max_digits=6, null=True)),
                ('mw', models.DecimalField(decimal_places=6, max_digits=12, null=True, verbose_name='MW')),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(null=True)),
                ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('digest', models.TextField(help_text='SHA-256 of the bytes that came.')),
                ('door', models.TextField(help_text='api, webhook or openadr.')),
                ('result', models.TextField(blank=True, db_default='', default='')),
                ('site', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='hosting.site')),
                ('source', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='signals', to='curtailment.signalsource')),
            ],
            options={
                'db_table': 'curtailment_signals',
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='curtailmentrule',
            name='source',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rules', to='curtailment.signalsource'),
        ),
        migrations.AddConstraint(
            model_name='signalsource',
            constraint=models.UniqueConstraint(fields=('site', 'name'), name='curtailment_sources_name'),
        ),
        migrations.AddConstraint(
            model_name='signalsource',
            constraint=models.CheckConstraint(condition=models.Q(('fail_safe__in', [curtailment.triggers.signals.FailSafe['HOLD'], curtailment.triggers.signals.FailSafe['RESTORE'], curtailment.triggers.signals.FailSafe['CURTAIL']])), name='curtailment_sources_fail_safe_known'),
        ),
        migrations.AddIndex(
            model_name='signal',
            index=models.Index(fields=['source', '-received_at'], name='idx_curtailment_signals_newest'),
        ),
        migrations.AddConstraint(
            model_name='signal',
            constraint=models.UniqueConstraint(fields=('source', 'external_id'), name='curtailment_signals_once'),
        ),
        migrations.AddConstraint(
            model_name='signal',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', [curtailment.triggers.signals.Kind['START'], curtailment.triggers.signals.Kind['STOP'], curtailment.triggers.signals.Kind['LEVEL'], curtailment.triggers.signals.Kind['HEARTBEAT']])), name='curtailment_signals_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='signal',
            constraint=models.CheckConstraint(condition=models.Q(('mw__isnull', True), ('mw__gt', 0), _connector='OR'), name='curtailment_signals_mw_positive'),
        ),
        migrations.AddConstraint(
            model_name='signal',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__isnull', True), ('ends_at__gt', models.F('starts_at')), _connector='OR'), name='curtailment_signals_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='curtailmentrule',
            constraint=models.UniqueConstraint(fields=('site', 'name'), name='curtailment_rules_name'),
        ),
        migrations.AddConstraint(
            model_name='curtailmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['schedule', 'price', 'power_cap', 'temperature', 'signal'])), name='curtailment_rules_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='curtailmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('target_mw__isnull', True), ('target_mw__gt', 0), _connector='OR'), name='curtailment_rules_target_positive'),
        ),
        migrations.AddConstraint(
            model_name='curtailmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('target_mw__isnull', True), ('share_percent__isnull', True), _connector='OR'), name='curtailment_rules_one_target'),
        ),
        migrations.AddConstraint(
            model_name='curtailmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('armed', False), models.Q(('tried_hash', models.F('content_hash')), ('armed_by__isnull', False), models.Q(('content_hash', ''), _negated=True)), _connector='OR'), name='curtailment_rules_armed_as_shown'),
        ),
    ]
