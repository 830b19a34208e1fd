"""Places, circuits, warranty, a way out for machines that have a history, and maintenance tickets."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('hosting', '0014_commands'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Building',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('name', models.TextField(help_text='A hall or a container, as people call it.')),
            ],
            options={
                'db_table': 'hosting_buildings',
                'ordering': ['site__name', 'name'],
            },
        ),
        migrations.CreateModel(
            name='Circuit',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('name', models.TextField(help_text='As it says on the panel.')),
                ('capacity_kw', models.DecimalField(decimal_places=3, max_digits=10, validators=[django.core.validators.MinValueValidator(Decimal('0.001'))], verbose_name='capacity (kW)')),
                ('continuous_percent', models.PositiveSmallIntegerField(db_default=80, default=80, help_text='Share of the capacity that it may carry for hours: 80 by the usual rule.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)], verbose_name='continuous load (%)')),
            ],
            options={
                'db_table': 'hosting_circuits',
                'ordering': ['site__name', 'name'],
            },
        ),
        migrations.CreateModel(
            name='MaintenanceTicket',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('serial_number', models.TextField(editable=False, help_text='Of the machine, for a former owner who sees it no more.')),
                ('title', models.TextField()),
                ('status', models.TextField(choices=[('open', 'Open'), ('in_progress', 'In progress'), ('waiting_parts', 'Waiting for parts'), ('rma_sent', 'Sent to the vendor'), ('resolved', 'Resolved'), ('closed', 'Closed')], db_default='open', default='open')),
                ('fault', models.TextField(choices=[('unknown', 'Not known yet'), ('farm', 'Farm'), ('client', 'Client'), ('vendor', 'Vendor')], db_default='unknown', default='unknown', help_text='Bills ask for it.', verbose_name='whose fault')),
                ('rma_number', models.TextField(blank=True, null=True, verbose_name='RMA number')),
                ('rma_vendor', models.TextField(blank=True, null=True, verbose_name='RMA vendor')),
                ('took_out', models.BooleanField(db_default=False, default=False, editable=False, help_text='Opening it put the machine into maintenance.')),
                ('starts_at', models.DateTimeField(help_text='From when on the machine did not work.')),
                ('ends_at', models.DateTimeField(blank=True, help_text='Until when; empty while it lasts.', null=True)),
                ('opened_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('closed_at', models.DateTimeField(editable=False, null=True)),
                ('updated_at', models.DateTimeField(auto_now=True, null=True)),
            ],
            options={
                'db_table': 'maintenance_tickets',
                'ordering': ['-opened_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='Rack',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('name', models.TextField()),
                ('slots', models.PositiveSmallIntegerField(db_default=24, default=24, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)])),
                ('slots_per_shelf', models.PositiveSmallIntegerField(db_default=4, default=4, help_text='How many stand side by side; the rack map draws them so.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(50)])),
            ],
            options={
                'db_table': 'hosting_racks',
                'ordering': ['building__site__name', 'building__name', 'name'],
            },
        ),
        migrations.CreateModel(
            name='TicketComment',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('text', models.TextField()),
                ('internal', models.BooleanField(db_default=True, default=True, help_text='For staff alone.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                'verbose_name': 'comment',
                'db_table': 'maintenance_ticket_comments',
                'ordering': ['created_at', 'id'],
            },
        ),
        migrations.CreateModel(
            name='TicketPart',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('name', models.TextField(help_text='For example fan 12038, control board, PSU APW12.')),
                ('quantity', models.PositiveSmallIntegerField(db_default=1, default=1)),
            ],
            options={
                'verbose_name': 'part',
                'db_table': 'maintenance_ticket_parts',
                'ordering': ['id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='miner',
            name='hosting_miners_address_unique',
        ),
        migrations.AddField(
            model_name='miner',
            name='retired_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='miner',
            name='retired_reason',
            field=models.TextField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='miner',
            name='slot',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Its number in the rack, from 1.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='miner',
            name='warranty_order',
            field=models.TextField(blank=True, help_text='The vendor asks for it.', null=True, verbose_name='order number'),
        ),
        migrations.AddField(
            model_name='miner',
            name='warranty_start',
            field=models.DateField(blank=True, null=True, verbose_name='warranty from'),
        ),
        migrations.AddField(
            model_name='miner',
            name='warranty_vendor',
            field=models.TextField(blank=True, help_text='Who repairs it for nothing.', null=True, verbose_name='warranty by'),
        ),
        migrations.AlterField(
            model_name='miner',
            name='warranty_expiry',
            field=models.DateField(blank=True, null=True, verbose_name='warranty until'),
        ),
        migrations.AddField(
            model_name='building',
            name='site',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='buildings', to='hosting.site'),
        ),
        migrations.AddField(
            model_name='circuit',
            name='site',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='circuits', to='hosting.site'),
        ),
        migrations.AddField(
            model_name='maintenanceticket',
            name='assigned_to',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='maintenanceticket',
            name='client',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='maintenanceticket',
            name='miner',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='tickets', to='hosting.miner'),
        ),
        migrations.AddField(
            model_name='maintenanceticket',
            name='opened_by',
            field=models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='rack',
            name='building',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='racks', to='hosting.building'),
        ),
        migrations.AddField(
            model_name='rack',
            name='circuits',
            field=models.ManyToManyField(blank=True, db_table='hosting_rack_circuits', help_text='Feeds of the same site; several share the load evenly.', related_name='racks', to='hosting.circuit'),
        ),
        migrations.AddField(
            model_name='miner',
            name='rack',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='miners', to='hosting.rack'),
        ),
        migrations.AddConstraint(
            model_name='miner',
            constraint=models.UniqueConstraint(condition=models.Q(('retired_at__isnull', True)), fields=('site', 'cgminer_ip', 'cgminer_port'), name='hosting_miners_address_unique', violation_error_message='Another machine of this site has this IP and port.'),
        ),
        migrations.AddConstraint(
            model_name='miner',
            constraint=models.UniqueConstraint(fields=('rack', 'slot'), name='hosting_miners_slot_unique', violation_error_message='Another machine stands in this slot.'),
        ),
        migrations.AddConstraint(
            model_name='miner',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('rack__isnull', True), ('slot__isnull', True)), models.Q(('rack__isnull', False), ('slot__gte', 1), ('slot__isnull', False)), _connector='OR'), name='hosting_miners_slot_of_a_rack', violation_error_message='A machine in a rack has a slot, and a slot belongs to a rack: give both.'),
        ),
        migrations.AddConstraint(
            model_name='miner',
            constraint=models.CheckConstraint(condition=models.Q(('retired_at__isnull', True), models.Q(('cgminer_enabled', False), ('rack__isnull', True)), _connector='OR'), name='hosting_miners_retired_at_rest', violation_error_message='This machine is retired: bring it back before it is read or racked.'),
        ),
        migrations.AddConstraint(
            model_name='miner',
            constraint=models.CheckConstraint(condition=models.Q(('warranty_start__isnull', True), ('warranty_expiry__isnull', True), ('warranty_expiry__gte', models.F('warranty_start')), _connector='OR'), name='hosting_miners_warranty_dates', violation_error_message='The warranty ends before it starts.'),
        ),
        migrations.AddField(
            model_name='ticketcomment',
            name='author',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='ticketcomment',
            name='ticket',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='comments', to='hosting.maintenanceticket'),
        ),
        migrations.AddField(
            model_name='ticketpart',
            name='ticket',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='hosting.maintenanceticket'),
        ),
        migrations.AddConstraint(
            model_name='building',
            constraint=models.UniqueConstraint(fields=('site', 'name'), name='hosting_buildings_name'),
        ),
        migrations.AddConstraint(
            model_name='circuit',
            constraint=models.UniqueConstraint(fields=('site', 'name'), name='hosting_circuits_name'),
        ),
        migrations.AddConstraint(
            model_name='circuit',
            constraint=models.CheckConstraint(condition=models.Q(('capacity_kw__gt', 0), ('continuous_percent__range', (1, 100))), name='hosting_circuits_capacity'),
        ),
        migrations.AddIndex(
            model_name='maintenanceticket',
            index=models.Index(fields=['miner', 'starts_at'], name='idx_tickets_miner'),
        ),
        migrations.AddIndex(
            model_name='maintenanceticket',
            index=models.Index(fields=['client', '-opened_at'], name='idx_tickets_client'),
        ),
        migrations.AddIndex(
            model_name='maintenanceticket',
            index=models.Index(fields=['-opened_at', '-id'], name='idx_tickets_time'),
        ),
        migrations.AddConstraint(
            model_name='maintenanceticket',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['open', 'in_progress', 'waiting_parts', 'rma_sent', 'resolved', 'closed'])), name='maintenance_tickets_status_known'),
        ),
        migrations.AddConstraint(
            model_name='maintenanceticket',
            constraint=models.CheckConstraint(condition=models.Q(('fault__in', ['unknown', 'farm', 'client', 'vendor'])), name='maintenance_tickets_fault_known'),
        ),
        migrations.AddConstraint(
            model_name='maintenanceticket',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__isnull', True), ('ends_at__gte', models.F('starts_at')), _connector='OR'), name='maintenance_tickets_end_after_start', violation_error_message='The end lies before the start.'),
        ),
        migrations.AddConstraint(
            model_name='maintenanceticket',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'rma_sent'), _negated=True), models.Q(('rma_number__isnull', False), models.Q(('rma_number', ''), _negated=True)), _connector='OR'), name='maintenance_tickets_rma_numbered', violation_error_message='A machine that was sent away has an RMA number: enter it.'),
        ),
        migrations.AddConstraint(
            model_name='rack',
            constraint=models.UniqueConstraint(fields=('building', 'name'), name='hosting_racks_name'),
        ),
        migrations.AddConstraint(
            model_name='rack',
            constraint=models.CheckConstraint(condition=models.Q(('slots__range', (1, 1000)), ('slots_per_shelf__range', (1, 50))), name='hosting_racks_slots'),
        ),
    ]
