from django.db import migrations, models

from apps.billing import ledger_guard


def install(_apps, schema_editor):
    ledger_guard.install(schema_editor.connection)


def remove(_apps, schema_editor):
    ledger_guard.remove(schema_editor.connection)


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='ledgerentry',
            name='author_name',
            field=models.CharField(blank=True, default='', max_length=150, verbose_name='author'),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='reason',
            field=models.CharField(blank=True, default='', max_length=255),
        ),
        migrations.RunPython(install, remove),
    ]
