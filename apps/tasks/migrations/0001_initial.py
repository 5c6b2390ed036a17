import apps.tasks.models
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('agents', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('agent', models.CharField(max_length=100)),
                ('session', models.CharField(blank=True, default='', max_length=200)),
                ('entry_point', models.CharField(blank=True, max_length=100, null=True)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('running', 'Running'), ('input_required', 'Input Required'), ('completed', 'Completed'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='pending', max_length=16)),
                ('input', models.JSONField()),
                ('output', models.JSONField(null=True)),
                ('error', models.JSONField(null=True)),
                ('priority', models.SmallIntegerField(default=0)),
                ('tags', models.JSONField(default=list)),
                ('metadata', models.JSONField(default=dict)),
                ('usage', models.JSONField(default=apps.tasks.models.no_usage)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('max_retries', models.PositiveIntegerField()),
                ('timeout_seconds', models.FloatField(null=True)),
                ('deadline', models.DateTimeField(null=True)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('cancel_requested_at', models.DateTimeField(null=True)),
                ('epoch', models.PositiveIntegerField(default=0)),
                ('worker', models.CharField(default='', max_length=300)),
                ('attempt_started_at', models.DateTimeField(null=True)),
                ('ran_seconds', models.FloatField(default=0)),
                ('last_seq', models.PositiveIntegerField(default=0)),
                ('last_checkpoint', models.PositiveIntegerField(default=0)),
                ('journal_start', models.PositiveIntegerField(default=0)),
                ('trace_id', models.CharField(default='', max_length=32)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('agent_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='agents.agentversion')),
            ],
            options={
                'indexes': [models.Index(fields=['status', '-id'], name='task_status'), models.Index(fields=['agent', '-id'], name='task_agent'), models.Index(condition=models.Q(('session', ''), _negated=True), fields=['session', '-id'], name='task_session'), models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at'], name='task_finished')],
                'constraints': [models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'running', 'input_required', 'completed', 'failed', 'cancelled'])), name='task_status_known'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', False), ('status__in', ('completed', 'failed', 'cancelled'))), models.Q(('finished_at', None), ('status__in', ('pending', 'running', 'input_required'))), _connector='OR'), name='task_final_is_finished'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'failed'), _negated=True), ('error__isnull', False), _connector='OR'), name='task_failed_has_error')],
            },
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=255, unique=True)),
                ('digest', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tasks.task')),
            ],
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seq', models.PositiveIntegerField(null=True)),
                ('type', models.CharField(max_length=32)),
                ('payload', models.JSONField(default=dict)),
                ('actor', models.CharField(db_default='', default='', max_length=200)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('task', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='tasks.task')),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(fields=('task', 'seq'), name='event_seq'), models.CheckConstraint(condition=models.Q(models.Q(('seq', None), ('task', None)), models.Q(('seq__isnull', False), ('task__isnull', False)), _connector='OR'), name='event_task_has_seq')],
            },
        ),
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fingerprint', models.CharField(max_length=64)),
                ('error', models.JSONField()),
                ('status', models.CharField(choices=[('open', 'Open'), ('retried', 'Retried'), ('discarded', 'Discarded')], default='open', max_length=10)),
                ('entered_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('resolved_at', models.DateTimeField(null=True)),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='dead_letters', to='tasks.task')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['status', 'fingerprint'], name='dead_letter_group')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'open')), fields=('task',), name='dead_letter_one_open'), models.CheckConstraint(condition=models.Q(models.Q(('resolved_at', None), ('status', 'open')), models.Q(('resolved_at__isnull', False), ('status__in', ['retried', 'discarded'])), _connector='OR'), name='dead_letter_resolved')],
            },
        ),
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seq', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('model', 'Model'), ('tool_started', 'Tool Started'), ('tool_result', 'Tool Result'), ('tool_failed', 'Tool Failed')], max_length=16)),
                ('key', models.CharField(max_length=200)),
                ('value', models.JSONField()),
                ('epoch', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='checkpoints', to='tasks.task')),
            ],
            options={
                'ordering': ['task', 'seq'],
                'constraints': [models.UniqueConstraint(fields=('task', 'seq'), name='checkpoint_seq')],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('outcome', models.CharField(choices=[('completed', 'Completed'), ('failed', 'Failed'), ('crashed', 'Crashed'), ('cancelled', 'Cancelled'), ('released', 'Released')], max_length=10)),
                ('error', models.JSONField(null=True)),
                ('traceback', models.TextField(db_default='', default='')),
                ('worker', models.CharField(default='', max_length=300)),
                ('epoch', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='tasks.task')),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(fields=('task', 'epoch'), name='attempt_per_epoch')],
            },
        ),
    ]
