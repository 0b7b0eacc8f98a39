from tests.environment import POSTGRES_PORT
from tests.usage.conftest import journal, world

__all__ = ["journal", "world"]

if not POSTGRES_PORT:
    collect_ignore_glob = ["test_*.py", "slow/*"]
