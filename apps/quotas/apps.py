from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "apps.quotas"
    verbose_name = "Limits and budgets"

    def ready(self) -> None:
        from apps.quotas import http
        from apps.tenancy.http import views

        views.admissions.append(http.count_request)
