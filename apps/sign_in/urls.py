"""Pages of people who sign in. Names that allauth asks for are allauth's."""

from django.urls import path
from django.views.generic import RedirectView

from apps.sign_in.views import account, entrance, outside, reset

urlpatterns = [
    path("", entrance.SignIn.as_view(), name="account_login"),
    path("out/", entrance.SignOut.as_view(), name="account_logout"),
    path("second-factor/", entrance.SecondFactor.as_view(), name="mfa_authenticate"),
    path("again/", entrance.again, name="sign_in_again"),
    path("again/password/", entrance.Again.as_view(), name="account_reauthenticate"),
    path("again/code/", entrance.AgainByCode.as_view(), name="mfa_reauthenticate"),
    path("again/key/", entrance.AgainByKey.as_view(), name="mfa_reauthenticate_webauthn"),
    path("forgotten/", reset.Forgotten.as_view(), name="account_reset_password"),
    path("forgotten/sent/", reset.sent, name="account_reset_password_done"),
    path("reset/<uidb64>/<token>/", reset.Reset.as_view(), name="password_reset_confirm"),
    path("account/", account.account, name="sign_in_account"),
    path(
        "account/factors/", RedirectView.as_view(pattern_name="sign_in_account"), name="mfa_index"
    ),
    path("account/password/", account.ChangePassword.as_view(), name="account_change_password"),
    path("account/app/add/", account.AddTotp.as_view(), name="mfa_activate_totp"),
    path("account/app/remove/", account.RemoveTotp.as_view(), name="mfa_deactivate_totp"),
    path("account/keys/add/", account.AddSecurityKey.as_view(), name="mfa_add_webauthn"),
    path(
        "account/keys/<int:pk>/remove/",
        account.RemoveSecurityKey.as_view(),
        name="mfa_remove_webauthn",
    ),
    path("account/recovery/", account.RecoveryCodes.as_view(), name="mfa_view_recovery_codes"),
    path(
        "account/recovery/new/",
        account.NewRecoveryCodes.as_view(),
        name="mfa_generate_recovery_codes",
    ),
    path("account/sessions/end/", account.end_other_sessions, name="sign_in_end_others"),
    path("account/sessions/<str:digest>/end/", account.end_session, name="sign_in_end_session"),
    path("account/identities/<int:pk>/unlink/", outside.unlink, name="sign_in_unlink"),
    path("with/<slug:slug>/", outside.start, name="sign_in_with"),
    path("with/<slug:slug>/callback/", outside.callback, name="sign_in_callback"),
    path("invitation/<str:token>/", outside.invitation, name="sign_in_invitation"),
]
