"""The environment that every test process starts from; loaded before Django's settings are."""

import base64
import os
import socket
import tempfile

_OF_TESTS = (
    "CHATVAULT_SHARED",
    "CHATVAULT_CHROMIUM",
    "CHATVAULT_SCREENSHOTS",
    "CHATVAULT_TEST_BROKERS",
    "CHATVAULT_TEST_CANARY",
    "CHATVAULT_TEST_COMMITS",
    "CHATVAULT_TEST_CRAWL",
    "CHATVAULT_TEST_DATABASE",
    "CHATVAULT_TEST_EXAMPLES",
    "CHATVAULT_TEST_KILLS",
    "CHATVAULT_TEST_POSTGRES",
    "CHATVAULT_TEST_ROWS",
)
_STRANGERS = ("DATABASE_URL", "REDIS_URL", "HTTPS_PROXY", "https_proxy", "HOST", "SECRET_KEY")

for _name in [name for name in os.environ if name.startswith("CHATVAULT_")] + list(_STRANGERS):
    if _name not in _OF_TESTS:
        os.environ.pop(_name, None)

os.environ["CHATVAULT_HOME"] = tempfile.mkdtemp(prefix="chatvault-test-")
os.environ["CHATVAULT_SECRET_KEY"] = "for-tests-only-" + "s" * 40
os.environ["CHATVAULT_KEY_PEPPER"] = base64.b64encode(b"p" * 32).decode()
os.environ["CHATVAULT_VAULT_KEYS"] = "t1:" + base64.b64encode(b"v" * 32).decode()
os.environ["CHATVAULT_ALLOWED_HOSTS"] = "localhost,127.0.0.1,testserver"

POSTGRES_FOLDER, POSTGRES_PORT = "", 0
if os.environ.get("CHATVAULT_TEST_DATABASE") == "postgresql":
    # the server is started when a test first needs it, but Django wants to know its place now
    POSTGRES_FOLDER = tempfile.mkdtemp(prefix="cv-pg-")
    with socket.socket() as _probe:
        _probe.bind(("127.0.0.1", 0))
        POSTGRES_PORT = _probe.getsockname()[1]
    os.environ["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{POSTGRES_PORT}/chatvault"
