"""What can go wrong with the things of this app. Shown to operators, not to callers of the API:
the texts may name variables and files, never what is in them."""

from __future__ import annotations

from chatvault.lib.references import SecretProblem, SecretRefused, SecretUnavailable
from chatvault.lib.vault import VaultKeysInvalid

__all__ = ["SecretProblem", "SecretRefused", "SecretUnavailable", "VaultKeysInvalid"]
