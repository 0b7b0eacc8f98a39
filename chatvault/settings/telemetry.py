from urllib.parse import unquote, urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section, named


class TelemetrySettings(Section):
    """Traces, sent as OTLP over HTTP to a collector. Off without an endpoint."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_TELEMETRY_")

    endpoint: str = named("CHATVAULT_TELEMETRY_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", default="")
    """Base URL of the collector, such as `http://collector:4318`; `/v1/traces` is added to it."""
    headers: SecretStr = named(
        "CHATVAULT_TELEMETRY_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS", default=SecretStr("")
    )
    """Headers for the collector: `name=value` by commas, values percent-encoded."""
    service_name: str = named(
        "CHATVAULT_TELEMETRY_SERVICE_NAME", "OTEL_SERVICE_NAME", default="chatvault"
    )
    """What the traces call this installation."""
    sample_ratio: float = Field(1.0, ge=0, le=1)
    """Which part of the traces that begin here is sent: 0.01 is one in a hundred."""
    continue_client_traces: bool = False
    """Go on in the trace that a client names in `traceparent`, sampled as the client says. Without
    it a trace of ours begins, with a link to the client's."""
    propagate_to: CommaList = ()
    """`host` or `host:port` of providers that are told the trace in `traceparent`. None by
    default: a trace is nobody else's business."""
    queue_spans: PositiveInt = 4096
    """Finished spans that wait for the collector, in each process; more are dropped and counted."""
    timeout_s: PositiveFloat = 5.0
    """How long the collector may take for a batch."""

    @field_validator("endpoint")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        url = urlsplit(value)
        if value and (url.scheme not in ("http", "https") or not url.hostname):
            raise ValueError("it must be a URL such as http://collector:4318")
        return value

    @property
    def is_on(self) -> bool:
        return bool(self.endpoint)

    @property
    def traces_url(self) -> str:
        return f"{self.endpoint.rstrip('/')}/v1/traces"

    def header_list(self) -> tuple[tuple[str, str], ...]:
        """As HTTP wants them; entries that are no `name=value` are left out."""
        pairs = (part.partition("=") for part in self.headers.get_secret_value().split(","))
        return tuple(
            (name.strip().lower(), unquote(value.strip())) for name, sign, value in pairs if sign
        )
