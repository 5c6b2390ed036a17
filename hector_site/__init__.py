"""The Django site: settings, addresses, the web server and the `hector` command line."""

__version__ = "0.1.0"
VERSION = f"v{__version__}"
