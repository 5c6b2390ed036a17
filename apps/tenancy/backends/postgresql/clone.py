"""Copying a schema on PostgreSQL, faithfully: same tables, columns, constraints, indexes, sequences, storage and rows.

The server's own descriptions make the statements: `LIKE` for columns with all that belongs to them, `pg_get_indexdef`
and `pg_get_constraintdef` for what has a name of its own, which migrations refer to. A schema that has more than that
(triggers, functions, views, types, partitions, policies) is refused, so that nothing is left out in silence. Names are
those that Django gives: lower case, and no word of SQL.
"""

from __future__ import annotations

from typing import Any

_OF_SCHEMA = "= %s::regnamespace"
_STRANGE = f"""
SELECT 'relation ' || relname FROM pg_class WHERE relnamespace {_OF_SCHEMA} AND relkind NOT IN ('r', 'i', 'S')
UNION ALL SELECT 'partition of ' || inhrelid::regclass FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
 WHERE relnamespace {_OF_SCHEMA}
UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace {_OF_SCHEMA}
UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace {_OF_SCHEMA} AND typtype NOT IN ('b', 'c')
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
 WHERE relnamespace {_OF_SCHEMA} AND NOT tgisinternal
UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class
 WHERE relnamespace {_OF_SCHEMA}
UNION ALL SELECT 'policy ' || polname FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
 WHERE relnamespace {_OF_SCHEMA}
UNION ALL SELECT 'sequence ' || relname FROM pg_class WHERE relnamespace {_OF_SCHEMA} AND relkind = 'S' AND NOT EXISTS
 (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND classid = 'pg_class'::regclass AND deptype = 'i')
"""
_TABLES = f"SELECT relname, reloptions FROM pg_class WHERE relnamespace {_OF_SCHEMA} AND relkind = 'r' ORDER BY relname"
# Check constraints and NOT NULL come with the table. What a foreign key refers to must be there before it.
_CONSTRAINTS = f"""
SELECT relname, conname, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint
JOIN pg_class ON pg_class.oid = conrelid
WHERE connamespace {_OF_SCHEMA} AND contype IN ('p', 'u', 'x', 'f') ORDER BY contype = 'f', relname, conname
"""
_INDEXES = f"""
SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace {_OF_SCHEMA}
AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')
ORDER BY relname
"""
_SEQUENCES = f"""
SELECT owner.relname, attname, sequence.relname FROM pg_class sequence
JOIN pg_depend ON objid = sequence.oid AND classid = 'pg_class'::regclass AND deptype = 'i'
JOIN pg_class owner ON owner.oid = refobjid
JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
WHERE sequence.relnamespace {_OF_SCHEMA} AND sequence.relkind = 'S' ORDER BY 1, 2
"""


class CannotClone(Exception):
    """A schema has what its copy would lack."""


def statements(cursor: Any, source: str, target: str) -> str:
    """The SQL that copies a schema into one that does not exist yet; to be run as one transaction. Raises CannotClone.

    Neither schema may be in the search_path: the server's descriptions name the schema then.
    """
    if strange := _asked(cursor, _STRANGE, source):
        raise CannotClone(f"{source} has {', '.join(name for (name,) in strange)}")
    tables = _asked(cursor, _TABLES, source)
    sequences = _asked(cursor, _SEQUENCES, source)
    parts = [
        f"CREATE SCHEMA {target}",
        *(_table(source, target, *table) for table in tables),
        *(
            f"INSERT INTO {target}.{name} SELECT * FROM {source}.{name}"
            for (name, _) in tables
            if _has_rows(cursor, source, name)
        ),
        *(_sequence(cursor, source, target, *sequence) for sequence in sequences),
        *(index.replace(f" ON {source}.", f" ON {target}.", 1) for (index,) in _asked(cursor, _INDEXES, source)),
        *(_constraint(source, target, *constraint) for constraint in _asked(cursor, _CONSTRAINTS, source)),
    ]
    return ";\n".join(parts)


def _asked(cursor: Any, query: str, schema: str) -> list[tuple[Any, ...]]:
    cursor.execute(query, [schema] * query.count("%s"))
    return list(cursor.fetchall())


def _table(source: str, target: str, name: str, storage: list[str] | None) -> str:
    options = f" WITH ({', '.join(storage)})" if storage else ""
    return f"CREATE TABLE {target}.{name} (LIKE {source}.{name} INCLUDING ALL EXCLUDING INDEXES){options}"


def _has_rows(cursor: Any, source: str, name: str) -> bool:
    cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {source}.{name})")
    return bool(cursor.fetchone()[0])


def _sequence(cursor: Any, source: str, target: str, table: str, column: str, name: str) -> str:
    """Sets the copy's to where the source's is. It is named after its table and column; one of a table that was
    renamed has its old name."""
    made = f"{table}_{column}_seq"
    cursor.execute(f"SELECT last_value, is_called FROM {source}.{name}")
    value, called = cursor.fetchone()
    renamed = "" if made == name else f"ALTER SEQUENCE {target}.{made} RENAME TO {name};\n"
    return f"{renamed}SELECT setval('{target}.{name}', {value}, {called})"


def _constraint(source: str, target: str, table: str, name: str, definition: str) -> str:
    definition = definition.replace(f"REFERENCES {source}.", f"REFERENCES {target}.", 1)
    return f"ALTER TABLE {target}.{table} ADD CONSTRAINT {name} {definition}"
