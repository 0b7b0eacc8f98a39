"""Migrations run beside a busy system, and this version's tables serve the version before it."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.apps import apps
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED, UniqueConstraint

BIG = {"requestlog", "attempt", "hourlyrollup", "ledgerentry"}
"""Models whose tables grow with every request: nothing may lock or scan them for long."""

RETIRED: dict[str, str] = {"usage.latencyday": "made and replaced before it was in a version"}
"""`app.model.field` (or `app.model`) that may go, and the version whose code no longer uses it."""

BEFORE_THE_RULE = {
    "billing.0002_ledger_is_append_only",
    "billing.0003_shared_limits",
}
"""Written before there was a version that could run beside them."""

_BUILDS_INDEX = (operations.AddIndex, operations.AlterUniqueTogether, operations.AlterIndexTogether)
_TAKES_AWAY = (
    operations.RemoveField,
    operations.DeleteModel,
    operations.RenameField,
    operations.RenameModel,
    operations.AlterModelTable,
)


@cache
def ours() -> list[Migration]:
    labels = {config.label for config in apps.get_app_configs() if config.name.startswith("apps.")}
    disk = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return [migration for (label, _), migration in sorted(disk.items()) if label in labels]


def steps() -> Iterator[tuple[str, Migration, Any, set[str]]]:
    """Each operation with its place, and the models that its own migration makes."""
    for migration in ours():
        name = f"{migration.app_label}.{migration.name}"
        made = {
            operation.name_lower
            for operation in migration.operations
            if isinstance(operation, operations.CreateModel)
        }
        for operation in migration.operations:
            if name not in BEFORE_THE_RULE and not migration.initial:
                yield name, migration, operation, made


def model_of(operation: Any) -> str:
    return str(getattr(operation, "model_name_lower", getattr(operation, "name_lower", "")))


def test_big_tables_get_their_indexes_concurrently() -> None:
    """Else every writer waits until the index is built. On a partitioned table build it partition
    by partition, concurrently, and attach it: see usage.0004."""
    wrong = []
    for name, _, operation, made in steps():
        is_unique = isinstance(operation, operations.AddConstraint) and isinstance(
            operation.constraint, UniqueConstraint
        )
        is_indexed = isinstance(operation, operations.AlterField | operations.AddField) and (
            operation.field.unique or operation.field.db_index
        )
        is_blocking = isinstance(operation, _BUILDS_INDEX) or is_unique or is_indexed
        if is_blocking and model_of(operation) in BIG - made:
            wrong.append(f"{name}: {operation.describe()}")
    assert wrong == []


def test_concurrent_indexes_are_built_outside_of_a_transaction() -> None:
    wrong = [
        f"{name}: {operation.describe()}"
        for name, migration, operation, _ in steps()
        if type(operation).__name__.endswith("Concurrently") and migration.atomic
    ]
    assert wrong == []


def test_a_new_column_may_be_left_out_by_the_version_before() -> None:
    """Its INSERT does not name the column: give it null=True or a db_default."""
    wrong = [
        f"{name}: {operation.describe()}"
        for name, _, operation, made in steps()
        if isinstance(operation, operations.AddField)
        and model_of(operation) not in made
        and not operation.field.null
        and not operation.field.many_to_many
        and operation.field.db_default is NOT_PROVIDED
    ]
    assert wrong == []


def test_what_the_version_before_uses_stays() -> None:
    """Expand in one version, contract in a later one: then name it in RETIRED."""
    wrong = []
    for name, migration, operation, _ in steps():
        if not isinstance(operation, _TAKES_AWAY):
            continue
        place = f"{migration.app_label}.{model_of(operation)}"
        field = getattr(operation, "name_lower", "")
        if not {place, f"{place}.{field}"} & RETIRED.keys():
            wrong.append(f"{name}: {operation.describe()}")
    assert wrong == []


def test_no_column_of_a_big_table_changes_its_type() -> None:
    """PostgreSQL writes the whole table anew and locks it meanwhile."""
    wrong = [
        f"{name}: {operation.describe()}"
        for name, _, operation, made in steps()
        if isinstance(operation, operations.AlterField) and model_of(operation) in BIG - made
    ]
    assert wrong == []


def test_every_migration_goes_back() -> None:
    wrong = [
        f"{name}: {operation.describe()}"
        for name, _, operation, _ in steps()
        if not operation.reversible
    ]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(BEFORE_THE_RULE))
def test_the_exceptions_exist(name: str) -> None:
    assert name in {f"{migration.app_label}.{migration.name}" for migration in ours()}
