"""All sections, read once. `django.conf.settings.CHATVAULT` is the instance everybody uses."""

from dataclasses import dataclass, field
from pathlib import Path

from chatvault.settings.alerts import AlertSettings
from chatvault.settings.billing import BillingSettings
from chatvault.settings.celery import CelerySettings
from chatvault.settings.core import CoreSettings
from chatvault.settings.database import DatabaseSettings
from chatvault.settings.gateway import GatewaySettings
from chatvault.settings.invoicing import InvoicingSettings
from chatvault.settings.journal import JournalSettings
from chatvault.settings.logs import LogSettings
from chatvault.settings.mail import MailSettings
from chatvault.settings.metrics import MetricsSettings
from chatvault.settings.oauth import OAuthSettings
from chatvault.settings.redis import RedisSettings
from chatvault.settings.reports import ReportSettings
from chatvault.settings.retention import RetentionSettings
from chatvault.settings.security import SecuritySettings
from chatvault.settings.serving import ServingSettings
from chatvault.settings.sign_in import SignInSettings
from chatvault.settings.telemetry import TelemetrySettings
from chatvault.settings.throttle import ThrottleSettings
from chatvault.settings.tokens import TokenSettings
from chatvault.settings.upstream import UpstreamSettings
from chatvault.settings.vault import VaultSettings


@dataclass(frozen=True, slots=True)
class Sections:
    """Every setting of ChatVault. Raises Refusal for a wrong value."""

    core: CoreSettings = field(default_factory=CoreSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    upstream: UpstreamSettings = field(default_factory=UpstreamSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    vault: VaultSettings = field(default_factory=VaultSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)
    oauth: OAuthSettings = field(default_factory=OAuthSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    celery: CelerySettings = field(default_factory=CelerySettings)
    billing: BillingSettings = field(default_factory=BillingSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    reports: ReportSettings = field(default_factory=ReportSettings)
    sign_in: SignInSettings = field(default_factory=SignInSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    throttle: ThrottleSettings = field(default_factory=ThrottleSettings)
    invoicing: InvoicingSettings = field(default_factory=InvoicingSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)

    @property
    def home(self) -> Path:
        """The state folder, absolute."""
        return self.core.home.expanduser().absolute()

    @property
    def is_distributed(self) -> bool:
        """Whether servers elsewhere are used, which may come back when they are away."""
        return self.database.is_server or self.redis.is_used

    @property
    def journal_dir(self) -> Path:
        return self.journal.dir or self.home / "journal"
