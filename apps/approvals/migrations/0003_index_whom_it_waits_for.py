from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0002_policies_and_grants'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='approval',
            name='approval_status',
        ),
        migrations.AddIndex(
            model_name='approval',
            index=models.Index(fields=['status', '-id', 'role', 'exclude_requester', 'requester', 'level'], name='approval_inbox'),
        ),
    ]
