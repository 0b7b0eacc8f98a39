"""A forgotten password: a mail when mail is configured; the answer is the same for everybody."""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.views import PasswordResetConfirmView, PasswordResetView
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse_lazy

from apps.accounts.throttle import Throttled
from apps.sign_in import services
from apps.sign_in.forms import dress
from apps.sign_in.views.look import Look, page

log = logging.getLogger(__name__)


class ResetForm(PasswordResetForm):
    """Mails in the background: a known address takes as long as an unknown one."""

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        thread = threading.Thread(
            target=self._hand_over, args=args, kwargs=kwargs, daemon=True, name="mail to somebody"
        )
        thread.start()

    def _hand_over(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().send_mail(*args, **kwargs)
        except Exception:  # the outermost edge of this thread
            log.exception("a mail could not be handed over")


class Forgotten(Throttled, Look, PasswordResetView):
    throttle_group = "password"
    template_name = "sign_in/forgotten.html"
    title = "Forgotten password"
    form_class = ResetForm
    email_template_name = "sign_in/mail/reset.txt"
    subject_template_name = "sign_in/mail/reset_subject.txt"
    success_url = reverse_lazy("account_reset_password_done")

    def throttle_account(self, request: HttpRequest) -> str | None:
        return request.POST.get("email")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not settings.CHATVAULT.mail.is_used:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(*args, **kwargs)
        dress(form)
        return form


def sent(request: HttpRequest) -> HttpResponse:
    return page(request, "sign_in/forgotten_sent.html", "Look into your mail")


class Reset(Throttled, Look, PasswordResetConfirmView):
    throttle_group = "password"
    template_name = "sign_in/reset.html"
    title = "Choose a new password"
    success_url = reverse_lazy("account_login")

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(*args, **kwargs)
        dress(form)
        return form

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        services.password_was_changed(user=form.user)
        return response
