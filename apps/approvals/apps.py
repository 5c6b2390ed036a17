from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "apps.approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from apps.approvals import lifecycle, recovery
        from apps.approvals.integrity import CHECKS
        from apps.tasks import integrity
        from apps.tasks import recovery as of_tasks
        from apps.tasks.lifecycle import when_wait_is_cancelled

        when_wait_is_cancelled.append(lifecycle.close)
        integrity.CHECKS.update(CHECKS)
        of_tasks.repairers.append(recovery.repair)
