from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "apps.tasks"
    verbose_name = "Activity"

    def ready(self) -> None:
        from apps.queue import holds
        from apps.queue.maintenance import MaintenanceJob, register
        from apps.tasks.events import record_hold

        holds.recorders.append(record_hold)
        register(MaintenanceJob("hector-recovery", "apps.tasks.recovery.sweep", 1))
        register(MaintenanceJob("hector-retention", "apps.tasks.retention.prune_all", 10))
