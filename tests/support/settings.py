"""Hector's settings, in the environment of the tests."""

from tests.support import environment  # isort: skip  # first: it sets what the settings read

from hector_site.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick

__all__ = ["environment"]
