from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, PositiveInt
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section, split_by_commas

Role = Literal["gateway", "web", "ingest", "worker", "beat"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)


class ServingSettings(Section):
    """Which processes `manage.py serve` runs on this node."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_")

    roles: Annotated[tuple[Role, ...], BeforeValidator(split_by_commas), Field(min_length=1)] = (
        ROLES
    )
    """What runs here. `gateway` needs `ingest` beside it; see `docs/processes.md`."""
    prepare_at_start: bool = True
    """Migrate and do the first run at start. `false`: wait until `manage.py prepare` has."""
    web_processes: PositiveInt = 1
    """Processes for the admin and the API of a node that runs `web` without `gateway`."""

    @property
    def answers(self) -> bool:
        """Whether anything here listens to the network."""
        return "gateway" in self.roles or "web" in self.roles
