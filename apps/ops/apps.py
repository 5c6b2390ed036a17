from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "apps.ops"

    def ready(self) -> None:
        from apps.ops import checks  # noqa: F401 (registers them)
