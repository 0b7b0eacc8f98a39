"""Indexes for the filters of the request log, built beside running writers."""

from django.db import migrations, models

from chatvault.lib import new_columns

NAMES = ("request_by_alias", "request_by_provider", "request_by_user", "request_by_status")
TABLE = "usage_requestlog"
BY_TAGS = "request_by_tags"  # PostgreSQL only, and so not in Django's state


def build(apps, schema_editor):
    model = apps.get_model("usage", "RequestLog")
    for index in model._meta.indexes:
        if index.name in NAMES:
            statement = str(index.create_sql(model, schema_editor))
            new_columns.build_index(schema_editor, TABLE, index.name, statement)
    if schema_editor.connection.vendor == "postgresql":
        new_columns.build_index(
            schema_editor,
            TABLE,
            BY_TAGS,
            f'CREATE INDEX "{BY_TAGS}" ON "{TABLE}" USING gin (tags jsonb_path_ops) '
            "WHERE tags IS NOT NULL",
        )


def drop(_apps, schema_editor):
    for name in (*NAMES, BY_TAGS):
        new_columns.drop_index(schema_editor, name)


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('usage', '0010_sums_by_user_provider_and_tag'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddIndex(
                    model_name='requestlog',
                    index=models.Index(fields=['alias', '-started_at'], name='request_by_alias'),
                ),
                migrations.AddIndex(
                    model_name='requestlog',
                    index=models.Index(fields=['provider_id', '-started_at'], name='request_by_provider'),
                ),
                migrations.AddIndex(
                    model_name='requestlog',
                    index=models.Index(condition=models.Q(('user_id__isnull', False)), fields=['user_id', '-started_at'], name='request_by_user'),
                ),
                migrations.AddIndex(
                    model_name='requestlog',
                    index=models.Index(condition=models.Q(('http_status__gte', 400)), fields=['http_status', '-started_at'], name='request_by_status'),
                ),
            ],
        ),
        migrations.RunPython(build, drop),
    ]
