"""Orders to machines, machines that were found on the network, and who a machine says it is."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('hosting', '0013_poll_networks'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='mineridentity',
            name='mac',
            field=models.TextField(help_text='MAC that it told when it was last identified.', null=True, verbose_name='MAC'),
        ),
        migrations.AddField(
            model_name='mineridentity',
            name='mismatch',
            field=models.TextField(help_text='Another machine answers at its address: what it says it is.', null=True),
        ),
        migrations.AddField(
            model_name='mineridentity',
            name='serial',
            field=models.TextField(help_text="Serial number that is expected of it, where it is not the inventory's.", null=True),
        ),
        migrations.CreateModel(
            name='CommandBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('order', models.TextField(choices=[('sleep', 'Sleep'), ('wake', 'Wake'), ('reboot', 'Reboot'), ('set_power_limit', 'Set power limit'), ('locate', 'Locate (light)')])),
                ('watts', models.IntegerField(blank=True, null=True, verbose_name='power limit (W)')),
                ('reason', models.TextField(help_text='Why, for whoever reads the log later.')),
                ('idempotency_key', models.TextField(blank=True, help_text='The same key again gives this batch again.', null=True)),
                ('fingerprint', models.TextField(help_text='Hash of what the key was first used for.')),
                ('miners', models.IntegerField(verbose_name='machines')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(help_text='What is not done by then is given up.')),
                ('finished_at', models.DateTimeField(blank=True, help_text='Every machine has a result.', null=True)),
                ('requested_by', models.ForeignKey(blank=True, db_column='requested_by', db_index=False, help_text='Empty when it came from the command line or from MineFarm itself.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'command batch',
                'verbose_name_plural': 'command batches',
                'db_table': 'miner_command_batches',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='DiscoveredMiner',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.TextField(verbose_name='IP')),
                ('port', models.IntegerField(default=4028)),
                ('make', models.TextField(blank=True, null=True)),
                ('model', models.TextField(blank=True, null=True)),
                ('firmware', models.TextField(blank=True, null=True)),
                ('serial', models.TextField(blank=True, null=True)),
                ('mac', models.TextField(blank=True, null=True, verbose_name='MAC')),
                ('state', models.TextField(choices=[('new', 'New'), ('known', 'Known'), ('moved', 'Moved'), ('mismatch', 'another machine than the inventory says'), ('adopted', 'Adopted')], default='new')),
                ('first_seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(help_text='Last scan that found it.')),
                ('miner', models.ForeignKey(blank=True, help_text="The inventory's machine that it is.", null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='hosting.miner')),
                ('site', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='discovered', to='hosting.site')),
            ],
            options={
                'verbose_name': 'discovered machine',
                'db_table': 'discovered_miners',
                'ordering': ['site', 'host'],
            },
        ),
        migrations.CreateModel(
            name='MinerCommand',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.TextField(choices=[('queued', 'Queued'), ('sent', 'Sent'), ('accepted', 'Accepted'), ('confirmed', 'Confirmed'), ('failed', 'Failed'), ('expired', 'Expired'), ('unsupported', 'Unsupported')], db_default='queued', default='queued')),
                ('detail', models.TextField(blank=True, db_default='', default='', help_text='For people: what happened, or why not.')),
                ('attempts', models.SmallIntegerField(db_default=0, default=0)),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When the next step is due.')),
                ('claimed_by', models.TextField(help_text='The worker that is at it now.', null=True)),
                ('claimed_until', models.DateTimeField(help_text='From then on another worker takes over.', null=True)),
                ('before', models.JSONField(help_text='Reading before the order.', null=True)),
                ('after', models.JSONField(default=list, help_text='Readings after it.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('sent_at', models.DateTimeField(help_text='Written before the packet left.', null=True)),
                ('accepted_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('batch', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='commands', to='hosting.commandbatch')),
                ('miner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='commands', to='hosting.miner')),
            ],
            options={
                'verbose_name': 'command',
                'db_table': 'miner_commands',
                'ordering': ['id'],
            },
        ),
        migrations.AddIndex(
            model_name='commandbatch',
            index=models.Index(condition=models.Q(('finished_at', None)), fields=['expires_at'], name='miner_command_batches_open'),
        ),
        migrations.AddIndex(
            model_name='commandbatch',
            index=models.Index(fields=['-created_at'], name='miner_command_batches_time'),
        ),
        migrations.AddConstraint(
            model_name='commandbatch',
            constraint=models.UniqueConstraint(condition=models.Q(('idempotency_key__isnull', False)), fields=('requested_by', 'idempotency_key'), name='miner_command_batches_key', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='commandbatch',
            constraint=models.CheckConstraint(condition=models.Q(('order__in', ['sleep', 'wake', 'reboot', 'set_power_limit', 'locate'])), name='miner_command_batches_order'),
        ),
        migrations.AddConstraint(
            model_name='commandbatch',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='miner_command_batches_reason'),
        ),
        migrations.AddConstraint(
            model_name='discoveredminer',
            constraint=models.UniqueConstraint(fields=('site', 'host', 'port'), name='discovered_miners_address'),
        ),
        migrations.AddConstraint(
            model_name='discoveredminer',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['new', 'known', 'moved', 'mismatch', 'adopted'])), name='discovered_miners_state'),
        ),
        migrations.AddIndex(
            model_name='minercommand',
            index=models.Index(condition=models.Q(('status__in', ('queued', 'sent', 'accepted'))), fields=['due_at'], name='miner_commands_due'),
        ),
        migrations.AddIndex(
            model_name='minercommand',
            index=models.Index(fields=['miner', '-id'], name='miner_commands_of_miner'),
        ),
        migrations.AddConstraint(
            model_name='minercommand',
            constraint=models.UniqueConstraint(fields=('batch', 'miner'), name='miner_commands_once'),
        ),
        migrations.AddConstraint(
            model_name='minercommand',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('queued', 'sent', 'accepted'))), fields=('miner',), name='miner_commands_one_open'),
        ),
        migrations.AddConstraint(
            model_name='minercommand',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'sent', 'accepted', 'confirmed', 'failed', 'expired', 'unsupported'])), name='miner_commands_status_known'),
        ),
    ]
