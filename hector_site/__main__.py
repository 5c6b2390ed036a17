"""`python -m hector_site` is `hector`; the supervisor starts its children so."""

import sys

from hector_site.cli import main

sys.exit(main())
