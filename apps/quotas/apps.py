from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "apps.quotas"
    verbose_name = "Limits and budgets"

    def ready(self) -> None:
        from apps.quotas import requests
        from apps.tenancy.admissions import admissions

        admissions.append(requests.count)
