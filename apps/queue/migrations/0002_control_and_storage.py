"""The one row of QueueControl, and PostgreSQL's storage of a table whose rows all change several times and go.

`fillfactor` leaves room for updates in place; vacuum comes early, because dead rows slow every claim down.
"""

from django.db import migrations

STORAGE = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 1000,
    "autovacuum_analyze_scale_factor": 0.05,
    "autovacuum_vacuum_cost_delay": 0,
}


def tune_storage(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        settings = ", ".join(f"{name} = {value}" for name, value in STORAGE.items())
        schema_editor.execute(f"ALTER TABLE queue_queueentry SET ({settings})")


def restore_storage(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE queue_queueentry RESET ({', '.join(STORAGE)})")


class Migration(migrations.Migration):
    dependencies = [("queue", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "INSERT INTO queue_queuecontrol (id, paused, reason) VALUES (1, false, '')",
            "DELETE FROM queue_queuecontrol",
        ),
        migrations.RunPython(tune_storage, restore_storage),
    ]
