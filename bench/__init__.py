"""What Hector achieves on this machine, measured: `python -m bench --help`.

Every measurement gets an installation of its own, in a temporary directory, and runs in a process of its own
(`bench.child`). PostgreSQL is an embedded server with its default durability: fsync and synchronous commit are on.
"""
