"""Statistics weigh a hundred megabytes: only a worker that forecasts has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.architecture.source import ROOT

HEAVY = ("numpy", "pandas", "scipy", "statsmodels")
LOOK = """
import json, sys
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")
import django
django.setup()
from django.contrib import admin
from django.urls import get_resolver
admin.autodiscover()
get_resolver().url_patterns
import apps.gateway.http, apps.gateway.wiring, apps.forecasts.services, apps.forecasts.tasks
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_gateways_and_web_processes_do_not_load_statistics(tmp_path):
    command = [sys.executable, "-c", LOOK]
    environment = os.environ | {"CHATVAULT_HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"django", "apps", "rest_framework"} <= loaded
    assert loaded & set(HEAVY) == set()
