"""Hector's settings in a program that has Hector in it: it logs in its own way, unless it asks for Hector's."""

from hector_site.settings import *  # noqa: F403

LOGGING_CONFIG = "hector_site.logs.join"
