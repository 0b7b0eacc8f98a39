"""ChatVault: a self-hosted LLM gateway that is run from the Django admin."""

__version__ = "0.1.0"
