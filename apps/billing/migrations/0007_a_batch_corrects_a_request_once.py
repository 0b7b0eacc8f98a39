from django.db import migrations, models

NAME = "ledger_entry_once_in_a_batch"


def build(_apps, schema_editor):
    """Beside a busy system: PostgreSQL builds it while others write."""
    concurrently = "CONCURRENTLY" if schema_editor.connection.vendor == "postgresql" else ""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"CREATE UNIQUE INDEX {concurrently} IF NOT EXISTS {NAME} ON billing_ledgerentry "
            "(batch_id, request_id, account) WHERE NOT batch_id = ''"
        )


def drop(_apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX IF EXISTS {NAME}")


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('billing', '0006_ledger_batches_and_closed_periods'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(build, drop)],
            state_operations=[
                migrations.AddConstraint(
                    model_name='ledgerentry',
                    constraint=models.UniqueConstraint(condition=models.Q(('batch_id', ''), _negated=True), fields=('batch_id', 'request_id', 'account'), name=NAME),
                ),
            ],
        ),
    ]
