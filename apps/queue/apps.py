from django.apps import AppConfig


class QueueConfig(AppConfig):
    name = "apps.queue"
    verbose_name = "Queue and workers"
