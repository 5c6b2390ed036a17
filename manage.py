#!/usr/bin/env python
"""`python manage.py` is `hector`: Django's command line with the product's own commands in front."""

import sys

from hector_site.cli import main

if __name__ == "__main__":
    sys.exit(main())
