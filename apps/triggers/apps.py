from django.apps import AppConfig


class TriggersConfig(AppConfig):
    name = "apps.triggers"
    verbose_name = "Triggers"

    def ready(self) -> None:
        from apps.agents.config import apply, checks
        from apps.tasks import integrity, outbox, recovery, retention
        from apps.triggers import channels, reactions, starters
        from apps.triggers.entry_points import lifecycle as entry_points
        from apps.triggers.entry_points import rules
        from apps.triggers.entry_points import upkeep as entry_points_upkeep
        from apps.triggers.notifications import deliveries, lifecycle, upkeep
        from apps.triggers.starters import event

        starters.register()
        checks.RULES += [rules.template_faults, rules.limit_faults, rules.webhook_faults, rules.event_faults]
        apply.when_applied.append(entry_points.put_in_force)
        retention.more.append(entry_points_upkeep.prunable)
        integrity.CHECKS.update(entry_points_upkeep.CHECKS)
        recovery.repairers.append(entry_points_upkeep.repair)

        outbox.consumers[event.SUBSCRIBER] = reactions.consume

        channels.register()
        apply.when_applied.append(lifecycle.put_in_force)
        outbox.consumers[lifecycle.SUBSCRIBER] = deliveries.consume
        integrity.CHECKS.update(upkeep.CHECKS)
        recovery.repairers.append(upkeep.repair)
        retention.more.append(upkeep.prunable)
