from django.apps import AppConfig


class TriggersConfig(AppConfig):
    name = "apps.triggers"
    verbose_name = "Triggers"

    def ready(self) -> None:
        from apps.agents.config import apply
        from apps.tasks import integrity, outbox, recovery, retention
        from apps.triggers import channels
        from apps.triggers.notifications import deliveries, lifecycle, upkeep

        channels.register()
        apply.when_applied.append(lifecycle.put_in_force)
        outbox.consumers[lifecycle.SUBSCRIBER] = deliveries.consume
        integrity.CHECKS.update(upkeep.CHECKS)
        recovery.repairers.append(upkeep.repair)
        retention.more.append(upkeep.prunable)
