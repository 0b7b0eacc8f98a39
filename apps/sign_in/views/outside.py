"""To an outside provider and back; linking identities; accepting invitations."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.account.utils import get_next_redirect_url
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import BaseUserCreationForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.models import User
from apps.accounts.throttle import throttled
from apps.audit import trail
from apps.sign_in import admission, invitations, sessions
from apps.sign_in.errors import SignInRefused
from apps.sign_in.forms import dress
from apps.sign_in.models import IdentityProvider, Invitation, OutsideIdentity
from apps.sign_in.outside import flow
from apps.sign_in.views.look import page


@throttled("sign_in")
@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Leaves for the provider; a provider that is off does not exist."""
    provider = get_object_or_404(IdentityProvider, slug=slug, is_active=True)
    purpose = "link" if request.POST.get("purpose") == "link" else "sign_in"
    if purpose == "link" and not request.user.is_authenticated:
        return redirect("account_login")
    try:
        url = flow.begin(
            request,
            provider,
            purpose=purpose,
            user=request.user.pk,
            next=get_next_redirect_url(request) or "",
            invitation=request.POST.get("invitation", "")[:200],
            again=request.user.is_authenticated and purpose == "sign_in",
        )
    except SignInRefused as refused:
        return _refused(request, provider, refused)
    # not a redirect: what a form leads to is held to `form-action`, which names no provider
    return page(request, "sign_in/leaving.html", "One moment", url=url, provider=provider)


@throttled("sign_in", methods=("GET",))
@require_GET
def callback(request: HttpRequest, slug: str) -> HttpResponse:
    provider = get_object_or_404(IdentityProvider, slug=slug, is_active=True)
    try:
        claimed, begun = flow.finish(request, provider)
        if begun["purpose"] == "link":
            return _link(request, provider, claimed, begun)
        invitation = _invitation(begun["invitation"])
        user = admission.admit(provider=provider, claimed=claimed, invitation=invitation)
    except SignInRefused as refused:
        return _refused(request, provider, refused)
    return _sign_in(request, user, provider.name, begun["next"] or None)


def _sign_in(request: HttpRequest, user: User, way: str, after: str | None) -> HttpResponse:
    """A second factor that is set up here is asked here, too."""
    if request.user.is_authenticated:
        get_adapter().logout(request)
    request.session[sessions.WAY] = way
    record_authentication(request, user, "socialaccount", provider=way)
    response: HttpResponse = perform_login(request, Login(user=user, redirect_url=after))
    return response


def _link(
    request: HttpRequest, provider: IdentityProvider, claimed: flow.Claimed, begun: dict[str, Any]
) -> HttpResponse:
    user: Any = request.user
    if not user.is_authenticated or user.pk != begun["user"]:
        raise SignInRefused("state", "You are not signed in any more as who you were.")
    admission.link(provider=provider, claimed=claimed, user=user)
    messages.success(request, f"You can sign in with {provider.name} from now on.")
    return redirect("sign_in_account")


def _invitation(token: str) -> Invitation | None:
    if not token:
        return None
    found = invitations.find_open(token)
    if found is None:
        raise SignInRefused("invitation", "This invitation was used already, or is over.")
    return found


def _refused(
    request: HttpRequest, provider: IdentityProvider, refused: SignInRefused
) -> HttpResponse:
    with transaction.atomic():
        trail.record(
            "sign_in.failed",
            target=provider,
            after={"with": provider.name, "reason": refused.reason},
        )
    return page(
        request, "sign_in/refused.html", "You were not signed in", status=403, why=str(refused)
    )


@login_required
@require_POST
def unlink(request: HttpRequest, pk: int) -> HttpResponse:
    identity = get_object_or_404(OutsideIdentity, pk=pk, user=request.user)
    try:
        admission.unlink(identity=identity)
        messages.success(request, f"{identity.provider} does not sign you in any more.")
    except SignInRefused as refused:
        messages.error(request, str(refused))
    return redirect("sign_in_account")


class NewAccount(BaseUserCreationForm):
    """A local account of somebody who was invited."""

    class Meta:
        model = User
        fields = ("username", "first_name", "last_name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "User name"
        for name in ("password1", "password2"):
            self.fields[name].help_text = ""
        dress(self)

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=name).exists():
            raise forms.ValidationError("This name is taken: choose another.")
        return name


@throttled("sign_in")
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """A new account by password here, or by a provider; or another role for who is signed in."""
    found = invitations.find_open(token)
    if found is None:
        return page(
            request,
            "sign_in/refused.html",
            "No invitation",
            status=404,
            why="This invitation was used already, is over, or never was. Ask for a new one.",
        )
    form = None if request.user.is_authenticated else NewAccount(request.POST or None)
    if request.method == "POST" and (form is None or form.is_valid()):
        try:
            return _accepted(request, found, form)
        except SignInRefused as refused:
            messages.error(request, str(refused))
    return page(
        request,
        "sign_in/invitation.html",
        "You are invited",
        invitation=found,
        token=token,
        form=form,
        providers=buttons(),
    )


@transaction.atomic
def _accepted(request: HttpRequest, found: Invitation, form: NewAccount | None) -> HttpResponse:
    if form is None:
        user: Any = request.user
        invitations.accept(invitation=found, user=user)
        messages.success(request, "You have the role now.")
        return redirect("admin:index")
    user = form.save(commit=False)
    user.email = found.email
    user.save()
    invitations.accept(invitation=found, user=user)
    return _sign_in(request, user, "invitation", None)


def buttons() -> list[IdentityProvider]:
    """The providers that people may choose from."""
    rows = IdentityProvider.objects.filter(is_active=True).only("name", "slug", "kind")
    return list(rows.order_by("name"))
