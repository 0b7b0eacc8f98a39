from django.db import migrations, models

from chatvault.lib import new_columns

COLUMNS = ("user_id", "alias", "provider_id", "tags")


def add(apps, schema_editor):
    new_columns.add(schema_editor, apps.get_model("billing", "LedgerEntry"), COLUMNS)


def drop(apps, schema_editor):
    new_columns.drop(schema_editor, apps.get_model("billing", "LedgerEntry"), COLUMNS)


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0009_versions_of_tiers'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddField(
                    model_name='ledgerentry',
                    name='alias',
                    field=models.CharField(blank=True, db_default=models.Value(''), default='', help_text='As it was asked for.', max_length=150),
                ),
                migrations.AddField(
                    model_name='ledgerentry',
                    name='provider_id',
                    field=models.BigIntegerField(null=True, verbose_name='provider id'),
                ),
                migrations.AddField(
                    model_name='ledgerentry',
                    name='tags',
                    field=models.JSONField(blank=True, help_text='Of the request; empty: none.', null=True),
                ),
                migrations.AddField(
                    model_name='ledgerentry',
                    name='user_id',
                    field=models.BigIntegerField(help_text="The person whose token it was; empty: nobody's.", null=True, verbose_name='user id'),
                ),
            ],
        ),
        migrations.RunPython(add, drop),
    ]
