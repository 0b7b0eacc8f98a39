from __future__ import annotations

from django.db import models

from chatvault.lib.names import name_validator


class Deployment(models.Model):
    """One upstream model at one provider, reached with one credential."""

    name = models.CharField(
        max_length=150,
        unique=True,
        validators=[name_validator],
        help_text="By custom model@provider, such as gpt-4o-mini@openai.",
    )
    provider = models.ForeignKey("providers.Provider", models.CASCADE, related_name="deployments")
    credential = models.ForeignKey(
        "providers.Credential",
        models.PROTECT,
        related_name="deployments",
        null=True,
        blank=True,
        help_text="Empty for providers that need none, such as a local Ollama.",
    )
    model = models.CharField(
        max_length=150, help_text="The provider's own name of the model; prices go by it."
    )
    max_output_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The most tokens that the model can answer with. Empty: the default ceiling.",
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="An inactive deployment gets no requests."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
