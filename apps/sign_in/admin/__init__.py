"""Pages of the admin about signing in."""

from allauth.account.models import EmailAddress
from django.contrib import admin

from apps.sign_in.admin import invitations, lockouts, providers, second_factors, sessions

if admin.site.is_registered(EmailAddress):  # addresses are on the pages of people
    admin.site.unregister(EmailAddress)

__all__ = ["invitations", "lockouts", "providers", "second_factors", "sessions"]
