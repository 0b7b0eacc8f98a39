"""New columns and indexes for tables that are big and busy, for migrations.

Django adds columns one by one, and on SQLite copies the whole table for each of them. Here they
are added in place, on PostgreSQL under one short lock. Every step may be repeated.
"""

from __future__ import annotations

from typing import Any, Final


def add(editor: Any, model: Any, names: tuple[str, ...]) -> None:
    """Add these columns. Each may be NULL or has a db_default that is a constant."""
    there = _columns(editor, model)
    table = editor.quote_name(model._meta.db_table)
    clauses, values = [], []
    for name in names:
        field = model._meta.get_field(name)
        if field.column in there:
            continue
        definition, params = editor.column_sql(model, field)
        clauses.append(_words("ADD COLUMN", editor.quote_name(field.column), definition))
        values.append(params)
    if editor.connection.vendor == "postgresql" and clauses:
        every = [value for params in values for value in params]
        editor.execute(_words("ALTER TABLE", table, ", ".join(clauses)), every)
        return
    for clause, params in zip(clauses, values, strict=True):
        editor.execute(_words("ALTER TABLE", table, clause), params)


def drop(editor: Any, model: Any, names: tuple[str, ...]) -> None:
    """Take these columns away again."""
    there = _columns(editor, model)
    table = editor.quote_name(model._meta.db_table)
    for name in names:
        column = model._meta.get_field(name).column
        if column in there:
            quoted = editor.quote_name(column)
            editor.execute(_words("ALTER TABLE", table, "DROP COLUMN", quoted), None)


def build_index(editor: Any, table: str, name: str, statement: str) -> None:
    """Build one index beside writers. A partitioned table gets it partition by partition; one
    that is made meanwhile brings its own."""
    if editor.connection.vendor != "postgresql":
        editor.execute(_if_not_there(statement), None)
        return
    if _asked(editor, _KIND, table) != "p":
        _build(editor, name, statement)
        return
    whole, name_in_it = _words("ON", _quoted(table)), _quoted(name)
    only = _words("ON ONLY", _quoted(table))
    editor.execute(_if_not_there(statement).replace(whole, only, 1), None)
    for partition in _partitions(editor, table, name):
        own = f"{partition}_{name}"[:63]
        part = _words("ON", _quoted(partition))
        of_it = statement.replace(name_in_it, _quoted(own), 1).replace(whole, part, 1)
        _build(editor, own, of_it)
        attach = _words("ALTER INDEX", name_in_it, "ATTACH PARTITION", _quoted(own))
        editor.execute(attach, None)


def drop_index(editor: Any, name: str) -> None:
    editor.execute(_words("DROP INDEX IF EXISTS", _quoted(name)), None)


def _build(editor: Any, name: str, statement: str) -> None:
    if _asked(editor, _IS_BROKEN, name):
        editor.execute(_words("DROP INDEX CONCURRENTLY", _quoted(name)), None)
    editor.execute(_if_not_there(statement.replace("INDEX", "INDEX CONCURRENTLY", 1)), None)


_IS_BROKEN: Final = (
    "SELECT EXISTS (SELECT 1 FROM pg_index WHERE NOT indisvalid AND indexrelid = to_regclass(%s))"
)
_KIND: Final = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)"


def _if_not_there(statement: str) -> str:
    before, name, after = statement.partition(' "')
    return _words(before, "IF NOT EXISTS") + name + after


def _words(*words: str) -> str:
    return " ".join(words)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _partitions(editor: Any, table: str, index: str) -> list[str]:
    """Those in which the index has no part yet."""
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits link "
            "JOIN pg_class child ON child.oid = link.inhrelid "
            "WHERE link.inhparent = to_regclass(%s) AND NOT EXISTS ("
            "SELECT 1 FROM pg_inherits part JOIN pg_index own ON own.indexrelid = part.inhrelid "
            "WHERE part.inhparent = to_regclass(%s) AND own.indrelid = child.oid) "
            "ORDER BY child.relname",
            [table, index],
        )
        return [row[0] for row in cursor.fetchall()]


def _columns(editor: Any, model: Any) -> set[str]:
    connection = editor.connection
    with connection.cursor() as cursor:
        found = connection.introspection.get_table_description(cursor, model._meta.db_table)
    return {column.name for column in found}


def _asked(editor: Any, statement: str, *values: str) -> Any:
    with editor.connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]
