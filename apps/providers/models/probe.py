from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import OuterRef, Subquery


class ProbeQuerySet(models.QuerySet["Probe"]):
    def newest_of(self, deployment: OuterRef | int) -> Self:
        return self.filter(deployment=deployment).order_by("-at", "-pk")


class Probe(models.Model):
    """What a look at a deployment found."""

    class Kind(models.TextChoices):
        LISTED = "listed", "List of models"
        CALLED = "called", "Call of the model"

    deployment = models.ForeignKey("providers.Deployment", models.CASCADE, related_name="probes")
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=Kind)
    is_ok = models.BooleanField("answered")
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    message = models.CharField(max_length=300, blank=True)

    objects = ProbeQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["deployment", "-at"], name="probe_of_a_deployment"),
            models.Index(fields=["at"], name="probe_at"),
        ]

    def __str__(self) -> str:
        return f"{self.deployment}: {'answered' if self.is_ok else 'failed'}"


def newest(field: str) -> Subquery:
    """A field of the newest probe, for rows of deployments."""
    return Subquery(Probe.objects.newest_of(OuterRef("pk")).values(field)[:1])


def newest_answer() -> Subquery:
    """When a deployment answered last."""
    answers = Probe.objects.newest_of(OuterRef("pk")).filter(is_ok=True)
    return Subquery(answers.values("at")[:1])
