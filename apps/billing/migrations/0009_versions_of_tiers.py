from django.db import migrations

from apps.billing import price_guard

PPM_PER_PERCENT = 10_000


def keep_versions(apps, _schema_editor):
    """The first version of every tier that there is."""
    tiers, terms = apps.get_model("billing", "PricingTier"), apps.get_model("billing", "TierTerms")
    for tier in tiers.objects.filter(current_terms=None):
        tier.current_terms = terms.objects.create(
            tier_id=tier.pk,
            tier_name=tier.name,
            book_id=tier.price_book_id,
            markup_ppm=int(tier.markup_percent * PPM_PER_PERCENT),
        )
        tier.save(update_fields=["current_terms"])


def install(_apps, schema_editor):
    price_guard.install(schema_editor.connection)


def remove(_apps, schema_editor):
    price_guard.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0008_price_conditions_and_tier_versions"),
    ]

    operations = [
        migrations.RunPython(keep_versions, migrations.RunPython.noop),
        migrations.RunPython(install, remove),
    ]
