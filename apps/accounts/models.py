"""People who use an installation."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """Somebody who can log in to the console; a superuser is a platform operator."""
