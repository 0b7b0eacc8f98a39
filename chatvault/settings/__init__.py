"""Django's settings, filled from the typed sections beside this file."""

import secrets as _secrets
from pathlib import Path

from chatvault.lib import page_policy as _policy
from chatvault.settings.admin import UNFOLD as UNFOLD
from chatvault.settings.metrics import counted
from chatvault.settings.oauth import MODELS as _OAUTH_MODELS
from chatvault.settings.people import as_django
from chatvault.settings.sections import Sections

BASE_DIR = Path(__file__).resolve().parent.parent.parent

CHATVAULT = Sections()
"""The typed sections: `settings.CHATVAULT.upstream.connect_timeout_s`."""

SECRET_KEY = CHATVAULT.core.secret_key.get_secret_value() or _secrets.token_urlsafe(48)
DEBUG = CHATVAULT.core.debug
ALLOWED_HOSTS = list(CHATVAULT.core.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(CHATVAULT.core.csrf_trusted_origins)

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # the site is ours: see admin_app.py
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "chatvault.admin_app.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_ratelimit",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "oauth2_provider",
    "apps.audit",
    "apps.configuration",
    "apps.accounts",
    "apps.providers",
    "apps.oauth",
    "apps.sign_in",
    "apps.billing",
    "apps.usage",
    "apps.alerts",
    "apps.repricing",
    "apps.forecasts",
    "apps.invoicing",
    "apps.gateway",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "chatvault.correlate.correlated",
    "csp.middleware.CSPMiddleware",
    "chatvault.defences.headers.defended",
    "chatvault.defences.nul.without_nul",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.acting_person",
    "apps.accounts.middleware.limited_rows",
    "apps.audit.api_guard.recorded_api",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "apps.sign_in.middleware.held_to_its_session",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "chatvault.urls"
ASGI_APPLICATION = "chatvault.asgi.application"
WSGI_APPLICATION = "chatvault.wsgi.application"

DATABASES = counted(CHATVAULT.database.as_django(CHATVAULT.home))
DATABASE_ROUTERS = ["chatvault.lib.replica.ReportsRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIGRATION_MODULES = {
    "django_celery_beat": "chatvault.celery_beat.migrations",
    "oauth2_provider": None,  # every model of it is replaced by one of apps.oauth
}

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "apps.oauth.hashers.RandomSecretHasher",  # of OAuth clients' secrets
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

CACHES = CHATVAULT.redis.as_django_cache()
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.W001"]  # our cache counts in one step, as it asks for
if not CHATVAULT.redis.is_used:  # one process: a cache of its own is shared by all there are
    SILENCED_SYSTEM_CHECKS.append("django_ratelimit.E003")

LANGUAGE_CODE = "en"
TIME_ZONE = CHATVAULT.core.time_zone
USE_I18N = True
FORMAT_MODULE_PATH = "chatvault.formats"
USE_TZ = True

LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"

STATIC_URL = "/static/"
STATIC_ROOT = CHATVAULT.core.static_root
STATICFILES_DIRS = [path for path in [BASE_DIR / "static"] if path.is_dir()]
WHITENOISE_USE_FINDERS = True

globals().update(as_django(CHATVAULT.sign_in))
globals().update(CHATVAULT.mail.as_django())
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": _policy.PAGES}
DATA_UPLOAD_MAX_MEMORY_SIZE = CHATVAULT.security.max_form_mib * 2**20
if CHATVAULT.security.https:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = True
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = CHATVAULT.security.hsts_s
    SECURE_HSTS_INCLUDE_SUBDOMAINS = CHATVAULT.security.hsts_subdomains
    SECURE_HSTS_PRELOAD = CHATVAULT.security.hsts_preload
    SILENCED_SYSTEM_CHECKS += ["security.W005", "security.W021"]  # decisions on a whole domain

OAUTH2_PROVIDER = CHATVAULT.oauth.as_django()
globals().update({f"OAUTH2_PROVIDER_{kind}_MODEL": at for kind, at in _OAUTH_MODELS.items()})

SIMPLE_JWT = {"UPDATE_LAST_LOGIN": False, "TOKEN_TYPE_CLAIM": "token_type", "JTI_CLAIM": "jti"}

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.accounts.api.permissions.HasCapability"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.api.authentication.BearerAuthentication",
        "apps.accounts.api.authentication.PersonAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["apps.accounts.throttle.EndpointThrottle"],
    "DEFAULT_PAGINATION_CLASS": "apps.accounts.api.pages.Pages",
    "EXCEPTION_HANDLER": "apps.accounts.api.errors.envelope",
    "DEFAULT_FILTER_BACKENDS": ["apps.accounts.api.filters.StrictFilters"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "ENUM_NAME_OVERRIDES": {"RoleInTeam": "apps.accounts.models.Membership.Role"},
    "TITLE": "ChatVault",
    "DESCRIPTION": "An OpenAI-compatible gateway with keys, quotas, budgets and a ledger.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "ApiKey": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of a client, `cv_…`. An admin issues it.",
            }
        }
    },
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

globals().update(CHATVAULT.celery.as_django(CHATVAULT.home, CHATVAULT.redis))
JOBS_APPLICATION = "chatvault.celery.app"
CELERY_TASK_DEFAULT_QUEUE = "chatvault"
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 5
CELERY_BEAT_SCHEDULER = "chatvault.scheduler:OneBeat"
CELERY_BEAT_SYNC_EVERY = 1
CELERY_TIMEZONE = "UTC"

LOGGING = CHATVAULT.log.as_django(CHATVAULT.core.log_level)
