"""A few words for panels, and what Grafana makes of them."""

from dataclasses import dataclass, field
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
COLUMNS: Final = 24
_HEIGHTS: Final = {"stat": 4, "timeseries": 8, "table": 8, "bargauge": 8}


@dataclass(frozen=True)
class Query:
    text: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `unit` is Grafana's name of it; `width` is of 24 columns."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 12
    is_stacked: bool = False
    most: float | None = None  # the end of the scale
    warns_at: float | None = None
    alarms_at: float | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    name: str  # of its file, and its uid
    title: str
    description: str
    rows: tuple[Row, ...] = field(default=())

    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON that Grafana imports."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        panels.append(_row(row.title, len(panels) + 1, y))
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            panels.append(_panel(panel, len(panels) + 1, x, y))
            x += panel.width
            height = max(height, _HEIGHTS[panel.kind])
        y += height
    return {
        "uid": f"chatvault-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["chatvault"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [_link()],
        "templating": {"list": [_source_variable(), _instance_variable()]},
        "annotations": {"list": [_alert_marks()]},
        "panels": panels,
    }


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    height = _HEIGHTS[panel.kind]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"h": height, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": [_target(panel, at, query) for at, query in enumerate(panel.queries)],
    }


def _target(panel: Panel, at: int, query: Query) -> dict[str, Any]:
    is_instant = panel.kind in ("table", "bargauge")
    return {
        "refId": chr(ord("A") + at),
        "datasource": SOURCE,
        "expr": query.text,
        "legendFormat": query.legend or "__auto",
        "instant": is_instant,
        "range": not is_instant,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warns_at is not None:
        steps.append({"color": "orange", "value": panel.warns_at})
    if panel.alarms_at is not None:
        steps.append({"color": "red", "value": panel.alarms_at})
    steps.sort(key=lambda step: float("-inf") if step["value"] is None else step["value"])
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.most is not None:
        defaults["max"] = panel.most
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.is_stacked else "none", "group": "A"}
        defaults["custom"] = {
            "fillOpacity": 25 if panel.is_stacked else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": stacking,
        }
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "table":
        return {"showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]}
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "bargauge":
        return {"reduceOptions": last, "orientation": "horizontal", "displayMode": "basic"}
    return {"reduceOptions": last, "colorMode": "value", "graphMode": "area", "textMode": "auto"}


def _link() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "tags": ["chatvault"],
        "title": "ChatVault",
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}


def _instance_variable() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Instance",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(chatvault_build_info, instance)", "refId": "instance"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _alert_marks() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"ChatVault.*",alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "type": "dashboard",
    }
