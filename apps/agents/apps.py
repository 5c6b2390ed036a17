"""The agents of an App, and the open sets of their parts."""

from __future__ import annotations

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"
    verbose_name = "Resources"

    def ready(self) -> None:
        from apps.agents import llms, tools

        tools.register()
        llms.register()
