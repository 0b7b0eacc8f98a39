from django.urls import path

from apps.usage.api import exports, rows, summary

urlpatterns = [
    path("usage", rows.RowsView.as_view(), name="usage-rows"),
    path("usage/summary", summary.SummaryView.as_view(), name="usage-summary"),
    path("usage/export", exports.ExportView.as_view(), name="usage-export"),
    path("usage/exports", exports.ExportsView.as_view(), name="usage-exports"),
    path("usage/exports/<int:pk>", exports.OneExportView.as_view(), name="usage-export-one"),
    path(
        "usage/exports/<int:pk>/download",
        exports.DownloadView.as_view(),
        name="usage-export-download",
    ),
]
