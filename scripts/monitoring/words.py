"""Pieces of queries that many panels share."""

from scripts.monitoring.panels import Query

HERE = 'instance=~"$instance"'
OVER = "$__rate_interval"


def where(more: str = "") -> str:
    return f"{{{HERE}{', ' if more else ''}{more}}}"


def rate(name: str, *, by: str = "", more: str = "") -> str:
    """How much a counter grows a second, summed over nodes."""
    return f"sum{_by(by)} (rate({name}{where(more)}[{OVER}]))"


def grown(name: str, over: str, *, by: str = "") -> str:
    """How much a counter grew in a fixed time."""
    return f"sum{_by(by)} (increase({name}{where()}[{over}]))"


def gauge(name: str, *, by: str = "", more: str = "", of: str = "sum") -> str:
    return f"{of}{_by(by)} ({name}{where(more)})"


def everywhere(name: str, *, by: str = "", more: str = "") -> str:
    """What the database says: every node tells the same."""
    return gauge(name, by=by, more=more, of="max")


def quantile(share: float, name: str, *, by: str = "", more: str = "") -> str:
    inner = f"sum by ({f'{by}, ' if by else ''}le) (rate({name}_bucket{where(more)}[{OVER}]))"
    return f"histogram_quantile({share:g}, {inner})"


def quantiles(name: str, *shares: float, more: str = "") -> tuple[Query, ...]:
    return tuple(Query(quantile(share, name, more=more), f"p{share * 100:g}") for share in shares)


def average(name: str, *, by: str = "") -> str:
    return f"{rate(f'{name}_sum', by=by)} / {rate(f'{name}_count', by=by)}"


def or_zero(query: str) -> str:
    """For what may never have happened yet."""
    return f"({query}) or vector(0)"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
