"""Makes django-celery-beat's tables in one step: a first start need not replay its history."""
