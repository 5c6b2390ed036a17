#!/usr/bin/env python
"""`python manage.py` is `hector`, for those who look for it here."""

import sys

from hector_site.cli import main

if __name__ == "__main__":
    sys.exit(main())
