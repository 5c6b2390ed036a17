from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("quotas", "0001_initial")]

    operations = [
        migrations.RemoveConstraint(model_name="use", name="use_positive"),
        migrations.RenameField(model_name="use", old_name="raised", new_name="raised_to"),
        migrations.AddConstraint(
            model_name="use",
            constraint=models.CheckConstraint(
                condition=models.Q(("raised_to__gte", 0), ("seconds__gt", 0), ("used__gte", 0)), name="use_positive"
            ),
        ),
    ]
