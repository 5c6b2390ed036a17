"""Deleting many rows with all that refers to them, in one statement per table.

Django's own collector reads what it deletes. This says in SQL what the models' `on_delete` say: CASCADE and SET_NULL;
whatever else refers to what is deleted is refused by the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import models

from apps.queue import sql

Model = type[models.Model]
Reference = tuple[Model, str, Any]  # who refers, by which column, and what becomes of it


def delete(
    model: Model,
    keys: Sequence[Any],
    where: str,
    params: Sequence[Any],
    *,
    then: Callable[[list[Any]], object] = lambda _: None,
) -> Counter[str]:
    """Deletes those of the rows that still fulfil the condition; the rows that went, by table. `then` gets their ids.

    The rows themselves go first, which decides and locks; what refers to them follows in the same transaction, at
    whose end the database checks that nothing is left over.
    """
    table = model._meta.db_table
    rows = sql.fetch(
        f"DELETE FROM {table} WHERE id IN ({sql.placeholders(len(keys))}) AND {where} RETURNING id", [*keys, *params]
    )
    gone: Counter[str] = Counter()
    if rows:
        gone[table] = len(rows)
        deleted = [key for (key,) in rows]
        _delete_referring(model, sql.placeholders(len(deleted)), deleted, gone)
        then(deleted)
    return gone


def count(model: Model, where: str, params: Sequence[Any]) -> Counter[str]:
    """The rows that `delete` would delete of all that fulfil the condition."""
    counts: Counter[str] = Counter()
    _count(model, where, list(params), counts)
    return counts


def _delete_referring(model: Model, keys: str, params: list[Any], gone: Counter[str]) -> None:
    for referring, column, on_delete in _references(model):
        table, matches = referring._meta.db_table, f"{column} IN ({keys})"
        if on_delete is models.SET_NULL:
            sql.execute(f"UPDATE {table} SET {column} = NULL WHERE {matches}", params)
        elif on_delete is models.CASCADE:
            _delete_referring(referring, f"SELECT id FROM {table} WHERE {matches}", params, gone)
            gone[table] += sql.execute(f"DELETE FROM {table} WHERE {matches}", params)


def _count(model: Model, where: str, params: list[Any], counts: Counter[str]) -> None:
    table = model._meta.db_table
    counts[table] += sql.fetch(f"SELECT COUNT(*) FROM {table} WHERE {where}", params)[0][0]
    for referring, column, on_delete in _references(model):
        if on_delete is models.CASCADE:
            _count(referring, f"{column} IN (SELECT id FROM {table} WHERE {where})", params, counts)


def _references(model: Model) -> Iterator[Reference]:
    for relation in model._meta.get_fields(include_hidden=True):
        if isinstance(relation, models.ManyToOneRel):  # and one-to-one, which is a kind of it
            yield relation.related_model, relation.field.column, relation.on_delete
