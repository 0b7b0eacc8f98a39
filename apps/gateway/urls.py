"""The DRF door's routes: those of `http.py`, for servers that do not speak ASGI."""

from django.urls import path

from apps.gateway import views

urlpatterns = [
    path("v1/chat/completions", views.ChatCompletionsView.as_view(), name="chat-completions"),
    path("v1/completions", views.CompletionsView.as_view(), name="completions"),
    path("v1/embeddings", views.EmbeddingsView.as_view(), name="embeddings"),
    path("v1/models", views.ModelListView.as_view(), name="models"),
    path("v1/models/<path:model>", views.ModelView.as_view(), name="model"),
    path("v1/<path:rest>", views.UnknownView.as_view(), name="unknown"),
    path("livez", views.ProbeView.as_view(), name="livez"),
    path("readyz", views.ProbeView.as_view(), name="readyz"),
]
