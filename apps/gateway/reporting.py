"""What each kind of process reports for Prometheus, and to whom."""

from __future__ import annotations

import ipaddress
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

import chatvault
from apps.alerts import figures as alert_figures
from apps.gateway import plane_figures
from apps.usage import control_figures, node_figures
from chatvault.defences import reports
from chatvault.lib.metrics import library, process, reporter
from chatvault.lib.metrics.access import Access
from chatvault.lib.metrics.families import Family, Figures
from chatvault.lib.redact import Secret
from chatvault.settings.sections import Sections
from chatvault.telemetry import figures as telemetry

if TYPE_CHECKING:
    from apps.gateway.plane import DataPlane

BUILD: Final = Family(
    "chatvault_build_info", "gauge", "1; what runs here.", ("version", "python"), joined="max"
)

FAMILIES: Final = (
    BUILD,
    *plane_figures.FAMILIES,
    *node_figures.FAMILIES,
    *control_figures.FAMILIES,
    *alert_figures.FAMILIES,
    *process.FAMILIES,
    *library.FAMILIES,
    *telemetry.FAMILIES,
    reports.VIOLATIONS,
)


def start_background() -> reporter.Reporter:
    """For processes that nobody can ask: those of the node that answer tell their figures."""
    known = reporter.running()
    if known is not None:
        return known
    sections = _sections()
    started = reporter.start(folder_of(sections))
    started.access = access_of(sections)
    started.add(_build)
    started.add(process.source(reporter.process_name()))
    started.add(library.source())
    started.add(telemetry.figures)
    return started


def start_gateway(plane: DataPlane) -> None:
    """The figures of a data plane, and those of the node that it is on."""
    started = start_background()
    started.add(plane_figures.PlaneFigures(plane, started.process))
    started.add(node_figures.source(_sections().journal_dir), node=True)


def start_web() -> None:
    """The control plane's figures; where no role `web` runs, another node tells them."""
    started = start_background()
    started.add(control_figures.source(), node=True)
    started.add(reports.figures)


def folder_of(sections: Sections) -> Path:
    """Where processes that are told of together meet. A gateway and a control plane may run apart
    on one state folder; each is scraped, and neither tells of the other."""
    roles = sections.serving.roles
    is_apart = "web" in roles and "gateway" not in roles
    return sections.home / "run" / ("metrics-web" if is_apart else "metrics")


def access_of(sections: Sections) -> Access:
    token = sections.metrics.token.get_secret_value()
    networks = [ipaddress.ip_network(text) for text in sections.metrics.networks]
    return Access(networks, Secret(token) if token else None)


def _build() -> Figures:
    yield BUILD, {(chatvault.__version__, platform.python_version()): (1,)}


def _sections() -> Sections:
    sections: Sections = settings.CHATVAULT
    return sections
