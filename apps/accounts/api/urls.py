"""What accounts adds to `/api/v1/`."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.accounts.api import audit_events, clients, keys, members, teams, tokens

router = SimpleRouter(trailing_slash=False)
router.register("teams", teams.TeamViewSet, basename="team")
router.register("keys", keys.KeyViewSet, basename="key")
router.register("clients", clients.ClientViewSet, basename="client")

urlpatterns = [
    *router.urls,
    path("teams/<int:team_id>/members", members.MembersView.as_view(), name="team-members"),
    path(
        "teams/<int:team_id>/members/<str:person>",
        members.MemberView.as_view(),
        name="team-member",
    ),
    path("audit-events", audit_events.EventsView.as_view(), name="audit-events"),
    path("audit-events/export", audit_events.ExportView.as_view(), name="audit-export"),
    path("audit-events/checkpoints", audit_events.CheckpointsView.as_view(), name="audit-checks"),
    path("audit-events/<int:pk>", audit_events.EventView.as_view(), name="audit-event"),
    path("auth/token", tokens.ObtainTokenView.as_view(), name="token-obtain"),
    path("auth/token/refresh", tokens.RefreshTokenView.as_view(), name="token-refresh"),
    path("auth/token/verify", tokens.VerifyTokenView.as_view(), name="token-verify"),
    path("auth/token/revoke", tokens.RevokeTokenView.as_view(), name="token-revoke"),
    path("auth/jwks.json", tokens.JwksView.as_view(), name="token-jwks"),
]
