"""Who runs a command: whoever has a shell here is a platform operator, by the name that the system has for them."""

from __future__ import annotations

import os
import pwd

from apps.accounts.permissions import Caller, Role


def person() -> Caller:
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # as in many a container
        name = str(number)
    return Caller(f"command line ({name})", Role.ADMIN, is_platform_operator=True)
