from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "apps.tasks"
    verbose_name = "Activity"

    def ready(self) -> None:
        from apps.queue.maintenance import MaintenanceJob, register

        register(MaintenanceJob("hector-recovery", "apps.tasks.recovery.sweep", 1))
        register(MaintenanceJob("hector-idempotency-keys", "apps.tasks.api.idempotency.forget_old", 60))
