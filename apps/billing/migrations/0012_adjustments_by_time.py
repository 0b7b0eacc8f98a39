"""Reports add up adjustments by time: few entries among many. Built beside running writers."""

from django.db import migrations, models

from chatvault.lib import new_columns

NAME = "ledger_adjustment_by_time"


def build(apps, schema_editor):
    model = apps.get_model("billing", "LedgerEntry")
    index = next(index for index in model._meta.indexes if index.name == NAME)
    statement = str(index.create_sql(model, schema_editor))
    new_columns.build_index(schema_editor, model._meta.db_table, NAME, statement)


def drop(_apps, schema_editor):
    new_columns.drop_index(schema_editor, NAME)


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('billing', '0011_budgets_of_all_periods_and_scopes'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddIndex(
                    model_name='ledgerentry',
                    index=models.Index(condition=models.Q(('kind', 'adjustment')), fields=['booked_at'], name='ledger_adjustment_by_time'),
                ),
            ],
        ),
        migrations.RunPython(build, drop),
    ]
