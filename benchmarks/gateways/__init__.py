"""The gateways measured, each started the way its own documentation starts it."""

from benchmarks.gateways.chatvault import ChatVault
from benchmarks.gateways.contract import Gateway
from benchmarks.gateways.litellm import LiteLLM
from benchmarks.gateways.portkey import Portkey
from benchmarks.gateways.production import ChatVaultProduction
from benchmarks.gateways.tensorzero import TensorZero

GATEWAYS: dict[str, type[Gateway]] = {
    kind.name: kind for kind in (ChatVault, ChatVaultProduction, TensorZero, Portkey, LiteLLM)
}

__all__ = ["GATEWAYS", "ChatVault", "ChatVaultProduction", "Gateway"]
