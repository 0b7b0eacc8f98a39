"""Pages of the admin about signing in."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin

from apps.sign_in.admin import invitations, lockouts, providers, sessions

for _model in (EmailAddress, Authenticator):  # theirs show what nobody may read
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)

__all__ = ["invitations", "lockouts", "providers", "sessions"]
