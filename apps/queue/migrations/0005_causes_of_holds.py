from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("queue", "0004_one_schedule_per_job"),
        ("tenancy", "0002_retention"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="hold", name="hold_once"),
        migrations.AddField(
            model_name="hold",
            name="cause",
            field=models.CharField(
                choices=[("pause", "Pause"), ("suspension", "Suspension"), ("deletion", "Deletion")],
                db_default="pause",
                default="pause",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(fields=("app", "lane", "cause"), name="hold_once_per_cause"),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(("cause", "pause"), ("lane", ""), _connector="OR"), name="hold_of_app_is_whole"
            ),
        ),
    ]
