"""Sums of the hour by user and provider as well, by tag, and histograms of latency.

The sums of the version before have no room for users: its table stays, so that its ingest goes on
working beside this one, and goes away in a later version. What it holds is copied; what it adds
meanwhile, the job roll-up-recent-hours puts right.
"""

from django.db import migrations, models

_COPIED = (
    "hour, team_id, client_id, key_id, alias, deployment_id, requests, errors, input_tokens, "
    "output_tokens, cached_input_tokens, reasoning_tokens, cost_nano, charged_nano, "
    "latency_ms_sum, first_token_ms_sum, first_token_count"
)
_NEW = (
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "images",
    "duration_ms",
    "searches",
    "user_id",
    "provider_id",
)


def create(apps, schema_editor):
    schema_editor.create_model(apps.get_model("usage", "HourlyRollup"))
    zeros = ", 0" * len(_NEW)
    schema_editor.execute(
        f"INSERT INTO usage_hoursums ({_COPIED}, latency_count, {', '.join(_NEW)}) "
        f"SELECT {_COPIED}, requests{zeros} FROM usage_hourlyrollup",
        None,
    )


def drop(apps, schema_editor):
    schema_editor.delete_model(apps.get_model("usage", "HourlyRollup"))


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0009_more_of_a_request'),
    ]

    operations = [
        migrations.CreateModel(
            name='LatencyHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField()),
                ('team_id', models.BigIntegerField()),
                ('client_id', models.BigIntegerField()),
                ('alias', models.CharField(max_length=150)),
                ('deployment_id', models.BigIntegerField(default=0)),
                ('kind', models.CharField(choices=[('total', 'Until the last byte'), ('first', 'Until the first token')], max_length=8)),
                ('bucket', models.PositiveSmallIntegerField()),
                ('count', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('hour', 'team_id', 'client_id', 'alias', 'deployment_id', 'kind', 'bucket'), name='latency_hour_unique')],
            },
        ),
        migrations.CreateModel(
            name='TagHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('requests', models.PositiveBigIntegerField(default=0)),
                ('errors', models.PositiveBigIntegerField(default=0)),
                ('input_tokens', models.PositiveBigIntegerField(default=0)),
                ('output_tokens', models.PositiveBigIntegerField(default=0)),
                ('cached_input_tokens', models.PositiveBigIntegerField(default=0)),
                ('cache_write_tokens', models.PositiveBigIntegerField(default=0)),
                ('cache_write_1h_tokens', models.PositiveBigIntegerField(default=0)),
                ('reasoning_tokens', models.PositiveBigIntegerField(default=0)),
                ('audio_input_tokens', models.PositiveBigIntegerField(default=0)),
                ('audio_output_tokens', models.PositiveBigIntegerField(default=0)),
                ('image_input_tokens', models.PositiveBigIntegerField(default=0)),
                ('image_output_tokens', models.PositiveBigIntegerField(default=0)),
                ('images', models.PositiveBigIntegerField(default=0)),
                ('duration_ms', models.PositiveBigIntegerField(default=0)),
                ('searches', models.PositiveBigIntegerField(default=0)),
                ('cost_nano', models.BigIntegerField(default=0)),
                ('charged_nano', models.BigIntegerField(default=0)),
                ('latency_ms_sum', models.PositiveBigIntegerField(default=0)),
                ('latency_count', models.PositiveBigIntegerField(default=0, help_text='Requests whose latency is known.')),
                ('first_token_ms_sum', models.PositiveBigIntegerField(default=0)),
                ('first_token_count', models.PositiveBigIntegerField(default=0)),
                ('hour', models.DateTimeField()),
                ('tag', models.CharField(help_text='key=value', max_length=97)),
                ('team_id', models.BigIntegerField()),
                ('client_id', models.BigIntegerField()),
                ('alias', models.CharField(max_length=150)),
            ],
            options={
                'indexes': [models.Index(fields=['tag', 'hour'], name='tag_hour_tag')],
                'constraints': [models.UniqueConstraint(fields=('hour', 'tag', 'team_id', 'client_id', 'alias'), name='tag_hour_unique')],
            },
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel(name='HourlyRollup'),
                migrations.CreateModel(
                    name='HourlyRollup',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('requests', models.PositiveBigIntegerField(default=0)),
                        ('errors', models.PositiveBigIntegerField(default=0)),
                        ('input_tokens', models.PositiveBigIntegerField(default=0)),
                        ('output_tokens', models.PositiveBigIntegerField(default=0)),
                        ('cached_input_tokens', models.PositiveBigIntegerField(default=0)),
                        ('cache_write_tokens', models.PositiveBigIntegerField(default=0)),
                        ('cache_write_1h_tokens', models.PositiveBigIntegerField(default=0)),
                        ('reasoning_tokens', models.PositiveBigIntegerField(default=0)),
                        ('audio_input_tokens', models.PositiveBigIntegerField(default=0)),
                        ('audio_output_tokens', models.PositiveBigIntegerField(default=0)),
                        ('image_input_tokens', models.PositiveBigIntegerField(default=0)),
                        ('image_output_tokens', models.PositiveBigIntegerField(default=0)),
                        ('images', models.PositiveBigIntegerField(default=0)),
                        ('duration_ms', models.PositiveBigIntegerField(default=0)),
                        ('searches', models.PositiveBigIntegerField(default=0)),
                        ('cost_nano', models.BigIntegerField(default=0)),
                        ('charged_nano', models.BigIntegerField(default=0)),
                        ('latency_ms_sum', models.PositiveBigIntegerField(default=0)),
                        ('latency_count', models.PositiveBigIntegerField(default=0, help_text='Requests whose latency is known.')),
                        ('first_token_ms_sum', models.PositiveBigIntegerField(default=0)),
                        ('first_token_count', models.PositiveBigIntegerField(default=0)),
                        ('hour', models.DateTimeField()),
                        ('team_id', models.BigIntegerField()),
                        ('client_id', models.BigIntegerField()),
                        ('key_id', models.BigIntegerField()),
                        ('user_id', models.BigIntegerField(default=0)),
                        ('alias', models.CharField(max_length=150)),
                        ('deployment_id', models.BigIntegerField(default=0)),
                        ('provider_id', models.BigIntegerField(default=0)),
                    ],
                    options={
                        'db_table': 'usage_hoursums',
                        'indexes': [models.Index(fields=['team_id', 'hour'], name='hour_sums_team')],
                        'constraints': [models.UniqueConstraint(fields=('hour', 'team_id', 'client_id', 'key_id', 'user_id', 'alias', 'deployment_id', 'provider_id'), name='hour_sums_unique')],
                    },
                ),
            ],
        ),
        migrations.RunPython(create, drop),
    ]
