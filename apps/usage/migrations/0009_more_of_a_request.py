from django.db import migrations, models

from chatvault.lib import new_columns

COLUMNS = {
    "RequestLog": (
        "cache_status",
        "duration_ms",
        "error_detail",
        "experiment_arm",
        "image_input_tokens",
        "image_output_tokens",
        "images",
        "markup_ppm",
        "provider_id",
        "searches",
        "service_tier",
        "tags",
        "terms_id",
    ),
    "Attempt": ("first_byte_ms", "provider_id",),
}


def add(apps, schema_editor):
    for model, names in COLUMNS.items():
        new_columns.add(schema_editor, apps.get_model("usage", model), names)


def drop(apps, schema_editor):
    for model, names in COLUMNS.items():
        new_columns.drop(schema_editor, apps.get_model("usage", model), names)


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0008_reports'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddField(
                    model_name='attempt',
                    name='first_byte_ms',
                    field=models.IntegerField(help_text='From the start of this call; empty: unknown.', null=True, verbose_name='first byte (ms)'),
                ),
                migrations.AddField(
                    model_name='attempt',
                    name='provider_id',
                    field=models.BigIntegerField(null=True, verbose_name='provider id'),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='cache_status',
                    field=models.CharField(blank=True, choices=[('hit', 'Answered by the cache'), ('miss', 'Not in the cache')], db_default=models.Value(''), default='', help_text='Empty: the cache was not asked.', max_length=8, verbose_name='cache'),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='duration_ms',
                    field=models.BigIntegerField(db_default=0, default=0, help_text='Of audio or video that is billed by time.'),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='error_detail',
                    field=models.CharField(blank=True, db_default=models.Value(''), default='', help_text="What failed, for admins: never a provider's or a client's own text.", max_length=200),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='experiment_arm',
                    field=models.CharField(blank=True, db_default=models.Value(''), default='', help_text='The variant of an experiment that it took part in.', max_length=64),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='image_input_tokens',
                    field=models.BigIntegerField(db_default=0, default=0),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='image_output_tokens',
                    field=models.BigIntegerField(db_default=0, default=0),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='images',
                    field=models.BigIntegerField(db_default=0, default=0, help_text='Pictures that were made.'),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='markup_ppm',
                    field=models.BigIntegerField(help_text='Of the tier at its admission, in parts per million.', null=True, verbose_name='mark-up (ppm)'),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='provider_id',
                    field=models.BigIntegerField(null=True, verbose_name='provider id'),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='searches',
                    field=models.BigIntegerField(db_default=0, default=0, help_text='Web searches that the provider made for it.'),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='service_tier',
                    field=models.CharField(blank=True, db_default=models.Value(''), default='', help_text="In which of the provider's tiers it was served, where it said so.", max_length=32),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='tags',
                    field=models.JSONField(blank=True, help_text='What the client labelled it with; empty: nothing.', null=True),
                ),
                migrations.AddField(
                    model_name='requestlog',
                    name='terms_id',
                    field=models.BigIntegerField(help_text='The version of the pricing tier at its admission.', null=True, verbose_name='tier version'),
                ),
            ],
        ),
        migrations.RunPython(add, drop),
    ]
