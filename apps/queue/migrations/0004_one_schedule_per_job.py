"""A maintenance job has one schedule, however many hosts start at once: django-q2 itself does not say so.

Every start of a host writes the schedules (`apps.queue.cluster`), so none is lost that is deleted here.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("queue", "0003_durability"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.RunSQL("DELETE FROM django_q_schedule", migrations.RunSQL.noop),
        migrations.RunSQL(
            "CREATE UNIQUE INDEX queue_schedule_once ON django_q_schedule (name)", "DROP INDEX queue_schedule_once"
        ),
    ]
