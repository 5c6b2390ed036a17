from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "apps.sessions"
    label = "agent_sessions"  # `sessions` is Django's, of people who are logged in
    verbose_name = "Sessions"
