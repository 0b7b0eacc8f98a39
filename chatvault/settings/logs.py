from typing import Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section

# At these levels they tell what was sent: requests, bodies, addresses with what is in them.
_TALKATIVE = ("LiteLLM", "litellm", "httpx", "httpcore", "httpx2", "openai", "urllib3", "botocore")


class LogSettings(Section):
    """What is written to standard output and standard error."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_LOG_")

    format: Literal["text", "json"] = "text"
    """`text` for people; `json`: one object a line, for what collects logs."""
    access_ratio: float = Field(0.0, ge=0, le=1)
    """Which part of the requests gets a line of the log each: 0 none, 0.01 one in a hundred, 1
    all."""

    def as_django(self, level: str) -> dict[str, Any]:
        """Django's LOGGING. Levels below INFO are for our own packages: others would tell what
        they were given."""
        is_debug = level.upper() in ("DEBUG", "NOTSET")
        others = "INFO" if is_debug else level
        formatter = "JsonFormatter" if self.format == "json" else "TextFormatter"
        return {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": f"chatvault.lib.logs.{formatter}"}},
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
                "faults": {"class": "chatvault.lib.faults.FaultHandler", "level": "ERROR"},
            },
            "root": {"handlers": ["stderr", "faults"], "level": others},
            "loggers": {
                "apps": {"level": level},
                "chatvault": {"level": level},
                "celery": {"level": "WARNING" if level.upper() == "INFO" else others},
                **{name: {"level": "WARNING"} for name in _TALKATIVE},
            },
        }
