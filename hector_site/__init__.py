"""Hector: AI agents' work as durable tasks. Settings, addresses and the command line."""

__version__ = "0.1.0"
