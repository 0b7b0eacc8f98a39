"""The figures of the capacity guide: docs/capacity.json, a part for each benchmark."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "capacity.json"


def keep(part: str, figures: Mapping[str, Any]) -> None:
    """Into its part; the other parts stay as they are. `make docs` writes the guide from it."""
    whole: dict[str, Any] = json.loads(PAGE.read_text()) if PAGE.exists() else {}
    whole[part] = {
        "measured_on": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "load_average": round(os.getloadavg()[0], 1),
        **figures,
    }
    PAGE.write_text(json.dumps(whole, indent=2) + "\n")
