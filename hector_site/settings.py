"""Django's settings, read from `HECTOR_…` variables (see `hector_site.env`); every default is valid."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from django.urls import reverse_lazy

from hector_site import VERSION, database, mail
from hector_site.env import envbool, envchoice, envduration, envint, envlist, envsecret, envstr
from hector_site.home import generated_secret, home

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Identity and secrets -------------------------------------------------------------------------------------------
SECRET_KEY = envsecret("HECTOR_SECRET_KEY") or generated_secret("secret_key")
HECTOR_AUTH_SECRET = envsecret("HECTOR_AUTH_SECRET") or generated_secret("secret")
# Tokens of another issuer: where its keys are, what they say of issuer and audience, the Apps that it is allowed for.
HECTOR_AUTH_JWKS_URL = envstr("HECTOR_AUTH_JWKS_URL")
HECTOR_AUTH_ISSUER = envstr("HECTOR_AUTH_ISSUER")
HECTOR_AUTH_AUDIENCE = envstr("HECTOR_AUTH_AUDIENCE")
HECTOR_AUTH_APPS = envlist("HECTOR_AUTH_APPS")
# The first key encrypts; all of them decrypt, so a key is rotated by putting a new one in front.
HECTOR_ENCRYPTION_KEYS = (envsecret("HECTOR_ENCRYPTION_KEYS") or generated_secret("encryption_key")).split(",")
HECTOR_ENVIRONMENT = envstr("ENV", "development")

DEBUG = False
ALLOWED_HOSTS = envlist("HECTOR_ALLOWED_HOSTS", "*")
CSRF_TRUSTED_ORIGINS = envlist("HECTOR_CSRF_TRUSTED_ORIGINS")

# --- Logging --------------------------------------------------------------------------------------------------------
LOGGING_CONFIG = "hector_site.logs.configure"
LOGGING = {
    "level": envchoice("HECTOR_LOG_LEVEL", "info", ("debug", "info", "warning", "error", "critical")),
    "format": envchoice("HECTOR_LOG_FORMAT", envstr("LOG_FORMAT").lower() or "auto", ("auto", "json", "human")),
    "file": envstr("HECTOR_LOG_FILE"),
}

# --- Database -------------------------------------------------------------------------------------------------------
HECTOR_DATABASE = envsecret("HECTOR_DATABASE") or f"sqlite://{home()}/hector.db"
# A web process serves many threads, which share a pool; any other process holds one connection per thread.
HECTOR_ROLE = envstr("HECTOR_ROLE")  # the command that runs; `hector` sets it
_pool_size = envint("HECTOR_DATABASE_POOL", 16, least=2) if HECTOR_ROLE == "web" else 0
# Whoever decides locks the task while they do. (Workers set their own limit: `apps.queue.database`.)
_longest_idle = 10 if HECTOR_ROLE in ("web", "approve", "reject", "revoke") else 0
DATABASES = {"default": database.from_url(HECTOR_DATABASE, pool_size=_pool_size, longest_idle=_longest_idle)}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TENANT_MODEL = "tenancy.App"
TENANT_LIMIT_SET_CALLS = True

# --- Apps -----------------------------------------------------------------------------------------------------------
SHARED_APPS = [
    "apps.tenancy",  # before django_tenants, whose `migrate` it replaces
    "django_tenants",
    "apps.console",  # before unfold, whose templates it extends
    "unfold.apps.BasicAppConfig",  # without a site of its own: the console is ours
    "django.contrib.admin.apps.SimpleAdminConfig",  # likewise; nor is all imported that others would show in one
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "apps.accounts",
    "apps.queue",
    "apps.ops",
    "apps.execution",
]
TENANT_APPS = ["apps.agents", "apps.tasks", "apps.sessions", "apps.approvals", "apps.quotas", "apps.triggers"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS

MIDDLEWARE = [
    "apps.ops.middleware.RequestContext",  # first: whatever follows is logged with its request
    "apps.ops.middleware.RefuseWhileDraining",
    "apps.ops.middleware.BodyLimit",
    "apps.ops.middleware.ContentSecurityPolicy",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "hector_site.urls"
WSGI_APPLICATION = "hector_site.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served from the packages themselves: nothing to collect, nothing to go stale
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- People and security --------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("home")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
OTP_TOTP_ISSUER = "Hector"
HECTOR_TLS = envbool("HECTOR_TLS", False)  # pages are served over HTTPS (by a proxy): secure cookies and HSTS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HECTOR_TLS
SESSION_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 31536000 if HECTOR_TLS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HECTOR_TLS else None
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

# --- Queue and workers ----------------------------------------------------------------------------------------------
HECTOR_QUEUE_HANDLERS = {
    "task": "apps.execution.run",
    "operation": "apps.tasks.operations_run",
    "outbox": "apps.tasks.outbox_run",
    "approval": "apps.approvals.due",
    "delivery": "apps.triggers.notifications.sending",
    "timer": "apps.triggers.entry_points.ticking",
}
HECTOR_QUEUE_WORKERS = envint("HECTOR_QUEUE_WORKERS", 4, least=1)
HECTOR_QUEUE_MAX_RETRIES = envint("HECTOR_QUEUE_MAX_RETRIES", 3, least=0)
HECTOR_QUEUE_INITIAL_DELAY = envduration("HECTOR_QUEUE_INITIAL_DELAY", "1s")
HECTOR_QUEUE_MAX_DELAY = envduration("HECTOR_QUEUE_MAX_DELAY", "5m")
HECTOR_QUEUE_STALE_THRESHOLD = envduration("HECTOR_QUEUE_STALE_THRESHOLD", "5m")
HECTOR_SLOTS = envint("HECTOR_SLOTS", 32, least=1)
HECTOR_GRACE = envduration("HECTOR_GRACE", "30s")
HECTOR_CHECKPOINT_MAX = envint("HECTOR_CHECKPOINT_MAX", 8 * 1024 * 1024, least=1024)  # bytes of one, as JSON
HECTOR_CHECKPOINT_MAX_TOTAL = envint("HECTOR_CHECKPOINT_MAX_TOTAL", 64 * 1024 * 1024, least=1024)  # of one task
HECTOR_SESSION_STATE_MAX = envint("HECTOR_SESSION_STATE_MAX", 1024 * 1024, least=1024)  # bytes of one session, as JSON
Q_CLUSTER = {
    "name": "hector",
    "broker_class": "apps.queue.cluster.HectorBroker",
    "orm": "default",
    "workers": HECTOR_QUEUE_WORKERS + 1,  # one stays free for maintenance
    "timeout": 3600,
    "retry": 3660,
    "recycle": 10_000,
    "save_limit": 50,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "guard_cycle": 0.2,
    "daemonize_workers": False,  # a shift starts child processes
    "log_level": "WARNING",
}

# --- Retention: of each App that has no values of its own; 0 is without end -------------------------------------------
HECTOR_RETENTION_TASKS = envduration("HECTOR_RETENTION_TASKS", "30d")  # after their end
HECTOR_RETENTION_TASKS_MAX = envint("HECTOR_RETENTION_TASKS_MAX", 1_000_000, least=0)  # ended ones
HECTOR_RETENTION_DEAD_LETTERS = envduration("HECTOR_RETENTION_DEAD_LETTERS", "30d")  # after they were resolved
HECTOR_RETENTION_NOTIFICATIONS = envduration("HECTOR_RETENTION_NOTIFICATIONS", "30d")  # after they arrived or not

# --- Agents and tools -----------------------------------------------------------------------------------------------
HECTOR_ENV_ALLOW = envlist("HECTOR_ENV_ALLOW", "OPENAI_API_KEY,ANTHROPIC_API_KEY,GEMINI_API_KEY,GOOGLE_API_KEY")
HECTOR_FUNCTION_ALLOW = envlist("HECTOR_FUNCTION_ALLOW", "hector_demo")  # packages that handlers may come from
HECTOR_HTTP_ALLOW = envlist("HECTOR_HTTP_ALLOW")  # hosts or networks that Apps may reach though they are private
HECTOR_EVENT_CHAIN_DEPTH = envint("HECTOR_EVENT_CHAIN_DEPTH", 8, least=0)  # reactions to reactions, and so on
HECTOR_EVENT_CHAIN_RATE = envint("HECTOR_EVENT_CHAIN_RATE", 60, least=0)  # of these, of an entry point in a minute
HECTOR_WORK_DIR = home() / "apps"

# --- Notifications ---------------------------------------------------------------------------------------------------
_mail = mail.from_url(envsecret("HECTOR_EMAIL_URL") or ("console:" if HECTOR_ENVIRONMENT == "development" else ""))
EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = _mail.backend, _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.starttls, _mail.tls
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = envstr("HECTOR_EMAIL_FROM") or "hector@localhost"
HECTOR_EMAIL_DOMAINS = envlist("HECTOR_EMAIL_DOMAINS")  # of the addresses that mails may go to; none: of any

# --- Web ------------------------------------------------------------------------------------------------------------
HECTOR_HOST = envstr("HECTOR_HOST") or "127.0.0.1"
# Kubernetes sets HECTOR_PORT=tcp://… where a service is called hector; that is no port of ours.
HECTOR_PORT = 8080 if envstr("HECTOR_PORT").startswith("tcp://") else envint("HECTOR_PORT", 8080, least=1, most=65535)
# Where people reach the console: for links in messages.
HECTOR_PUBLIC_URL = (envstr("HECTOR_PUBLIC_URL") or f"http://{HECTOR_HOST}:{HECTOR_PORT}").rstrip("/")
HECTOR_LISTENER = envint("HECTOR_LISTENER", -1)  # a listening socket that the supervisor handed over; -1: none
HECTOR_WEB_PROCESSES = envint("HECTOR_WEB_PROCESSES", min(2, os.cpu_count() or 1), least=1)
HECTOR_WEB_THREADS = envint("HECTOR_WEB_THREADS", 32, least=1)
HECTOR_CONFIG = envstr("HECTOR_CONFIG")  # the document that `hector serve` applies to the default App
HECTOR_WATCH = envbool("HECTOR_WATCH", False)

# --- Console --------------------------------------------------------------------------------------------------------
UNFOLD = {  # what is not here is apps/console/site.py
    "SITE_TITLE": "Hector",
    "SITE_HEADER": "Hector",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "/static/console/logo.svg"},
    ],
    "STYLES": ["/static/console/console.css"],
    "SCRIPTS": ["/static/console/console.js", "/static/console/live.js"],
    "COLORS": {
        "primary": {  # indigo, as the tokens of console.css
            "50": "#eef0fe", "100": "#e0e3fd", "200": "#c7ccfb", "300": "#a5b0ff", "400": "#818cf8", "500": "#6366f1",
            "600": "#4f46e5", "700": "#4338ca", "800": "#3730a3", "900": "#312e81", "950": "#1e1b4b",
        }
    },
}  # fmt: skip

# --- API ------------------------------------------------------------------------------------------------------------
HECTOR_MAX_BODY = envint("HECTOR_MAX_BODY", 1024 * 1024, least=1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = HECTOR_MAX_BODY
HECTOR_IDEMPOTENCY_PERIOD = timedelta(hours=24)
HECTOR_WEB_STREAMS = envint("HECTOR_WEB_STREAMS", max(1, HECTOR_WEB_THREADS // 2), least=1)  # threads for long answers
REST_FRAMEWORK = {
    "DEFAULT_PARSER_CLASSES": ["apps.tenancy.http.body.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "apps.tenancy.http.openapi.Schema",
    "EXCEPTION_HANDLER": "apps.tenancy.http.problems.handle",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Hector",
    "VERSION": VERSION,
    "DESCRIPTION": "Runs AI agents' work as durable tasks.",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/(admin/)?",
    "ENUM_NAME_OVERRIDES": {
        "CheckpointKind": "apps.tasks.models.Checkpoint.Kind",
        "TaskStatusEnum": "apps.tasks.models.TaskStatus",
        "ApprovalKind": "apps.approvals.models.Approval.Kind",
        "DecisionVerb": "apps.approvals.models.Decision.Verb",
        "DeliveryStatus": "apps.triggers.models.Delivery.Status",
        "EntryPointState": ["active", "paused"],
        "FiringCause": "apps.triggers.models.Firing.Cause",
        "FiringOutcome": "apps.triggers.models.Firing.Outcome",
        "WebhookVerdict": "apps.triggers.models.WebhookDelivery.Verdict",
        "ChannelState": "apps.triggers.models.Channel.State",
    },
    "GET_LIB_DOC_EXCLUDES": "apps.tenancy.http.openapi.undescribed",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.tenancy.http.openapi.add_problems",
    ],
}
