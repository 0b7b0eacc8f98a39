from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]

    operations = [
        migrations.AlterModelOptions(
            name="journalcursor",
            options={
                "ordering": ["-updated_at"],
                "verbose_name": "journal segment",
                "verbose_name_plural": "journal",
            },
        ),
    ]
