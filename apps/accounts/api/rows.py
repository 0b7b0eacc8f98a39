"""What the endpoints of configuration rows share: whose rows, who may change them, and that every
change is a revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.db.models.deletion import ProtectedError
from drf_spectacular.utils import OpenApiResponse
from rest_framework import mixins
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from apps.accounts import permissions
from apps.accounts.errors import AccountsError, GrantExceeded
from apps.accounts.models import User
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.audit import trail
from apps.configuration import revisions
from apps.configuration.models import Revision
from chatvault.lib.errors import Conflict, InvalidField

CHANGING: Final = ["get", "head", "options", "post", "patch", "delete"]
"""There is no PUT: a field that is left out stays as it is."""

REFUSALS: Any = {
    400: OpenApiResponse(description="A field is not right; `param` names it."),
    401: OpenApiResponse(description="The credential is missing or not valid."),
    403: OpenApiResponse(description="The caller may not do this."),
    404: OpenApiResponse(description="There is no such row, for this caller."),
}


def caller_of(request: Request) -> Principal:
    """Who asks; the permission class has let nobody else in."""
    assert isinstance(request.user, Principal)
    return request.user


def person_of(request: Request) -> User | None:
    """The account of whoever asks; None for a machine of its own."""
    user_id = caller_of(request).user_id
    return User.objects.filter(pk=user_id).first() if user_id else None


class Rows(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Any]):
    """Reading: the rows that the caller may see. What may be seen and not changed is a 403, what
    may not be seen a 404."""

    read: ClassVar[Capability]
    write: ClassVar[Capability]
    rows: ClassVar[QuerySet[Any]]

    @property
    def capabilities(self) -> dict[str, Capability]:
        return {
            "GET": self.read,
            "POST": self.write,
            "PUT": self.write,
            "PATCH": self.write,
            "DELETE": self.write,
        }

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):  # the API is described; nobody asks
            return self.rows.none()
        return permissions.limit(self.rows.all(), caller_of(self.request))

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        super().check_object_permissions(request, obj)
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        action = "delete" if request.method == "DELETE" else "change"
        self.require(action, obj)

    def require(self, action: str, row: Model) -> None:
        """Raises PermissionDenied."""
        if not permissions.may_touch(caller_of(self.request), action, row):
            raise PermissionDenied

    @contextmanager
    def revision(self, comment: str) -> Iterator[None]:
        """A change of the configuration: all of it and its revision, or nothing."""
        try:
            with transaction.atomic():
                yield
                revisions.record(
                    source=Revision.Source.API, actor=person_of(self.request), comment=comment
                )
        except GrantExceeded as refused:
            raise PermissionDenied(f"{refused.reason} {refused.hint}".strip()) from None
        except AccountsError as refused:
            raise InvalidField(f"{refused.reason} {refused.hint}") from None
        except IntegrityError:
            raise Conflict from None

    def tell(self, action: str, row: Model, **changes: Any) -> None:
        trail.record(action, target=row, **changes)


class Changing(mixins.CreateModelMixin, mixins.UpdateModelMixin, mixins.DestroyModelMixin):
    """Making, changing and deleting through the serializer."""

    def perform_create(self: Any, serializer: Any) -> None:
        self.require("add", self.unsaved(serializer))
        with self.revision(f"added {serializer.validated_data['name']}"):
            row = serializer.save()
            self.after(row)

    def perform_update(self: Any, serializer: Any) -> None:
        with self.revision(f"changed {serializer.instance}"):
            row = serializer.save()
            self.require("change", row)  # it was not moved to where the caller may do nothing
            self.after(row)

    def perform_destroy(self: Any, instance: Any) -> None:
        try:
            with self.revision(f"deleted {instance}"):
                self.before_delete(instance)
                instance.delete()
        except ProtectedError:
            raise Conflict("Other rows still belong to it. Delete or move these first.") from None

    def unsaved(self: Any, serializer: Any) -> Model:
        many = {field.name for field in serializer.Meta.model._meta.many_to_many}
        values = {k: v for k, v in serializer.validated_data.items() if k not in many}
        row: Model = serializer.Meta.model(**values)
        return row

    def after(self, row: Any) -> None:
        """What follows from a change: who must hear of it."""

    def before_delete(self, row: Any) -> None:
        """What must be known of it before it is gone."""
