"""Django's settings, read from `HECTOR_…` variables (see `hector_site.env`); every default is valid."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django.urls import reverse_lazy

from hector_site import database
from hector_site.env import envbool, envduration, envint, envlist, envsecret, envstr
from hector_site.home import generated_secret, home

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Identity and secrets -------------------------------------------------------------------------------------------
SECRET_KEY = envsecret("HECTOR_SECRET_KEY") or generated_secret("secret_key")
HECTOR_AUTH_SECRET = envsecret("HECTOR_AUTH_SECRET") or generated_secret("secret")
# The first key encrypts; all of them decrypt, so a key is rotated by putting a new one in front.
HECTOR_ENCRYPTION_KEYS = (envsecret("HECTOR_ENCRYPTION_KEYS") or generated_secret("encryption_key")).split(",")
HECTOR_ENVIRONMENT = envstr("ENV", "development")

DEBUG = False
ALLOWED_HOSTS = envlist("HECTOR_ALLOWED_HOSTS", "*")
CSRF_TRUSTED_ORIGINS = envlist("HECTOR_CSRF_TRUSTED_ORIGINS")

# --- Database -------------------------------------------------------------------------------------------------------
HECTOR_DATABASE = envsecret("HECTOR_DATABASE") or f"sqlite://{home()}/hector.db"
# A web process serves many threads and shares a pool; a worker holds one connection per process.
DATABASES = {"default": database.from_url(HECTOR_DATABASE, pool_size=envint("HECTOR_DATABASE_POOL", 0, least=0))}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TENANT_MODEL = "tenancy.App"
TENANT_LIMIT_SET_CALLS = True

# --- Apps -----------------------------------------------------------------------------------------------------------
SHARED_APPS = [
    "django_tenants",
    "apps.console",  # before unfold, whose templates it extends
    "unfold",
    "django.contrib.admin",
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
    "apps.accounts",
    "apps.tenancy",
    "apps.queue",
    "apps.ops",
    "apps.execution",
]
TENANT_APPS = ["apps.agents", "apps.tasks"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS

MIDDLEWARE = [
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
        "DIRS": [BASE_DIR / "templates"],
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
STATIC_ROOT = home() / "static"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- People and security --------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = reverse_lazy("admin:login")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
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
HECTOR_QUEUE_HANDLERS = {"task": "apps.execution.run"}
HECTOR_QUEUE_WORKERS = envint("HECTOR_QUEUE_WORKERS", 4, least=1)
HECTOR_QUEUE_MAX_RETRIES = envint("HECTOR_QUEUE_MAX_RETRIES", 3, least=0)
HECTOR_QUEUE_INITIAL_DELAY = envduration("HECTOR_QUEUE_INITIAL_DELAY", "1s")
HECTOR_QUEUE_MAX_DELAY = envduration("HECTOR_QUEUE_MAX_DELAY", "5m")
HECTOR_QUEUE_STALE_THRESHOLD = envduration("HECTOR_QUEUE_STALE_THRESHOLD", "5m")
HECTOR_SLOTS = envint("HECTOR_SLOTS", 32, least=1)
HECTOR_GRACE = envduration("HECTOR_GRACE", "30s")
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

# --- Agents and tools -----------------------------------------------------------------------------------------------
HECTOR_ENV_ALLOW = envlist("HECTOR_ENV_ALLOW", "OPENAI_API_KEY,ANTHROPIC_API_KEY,GEMINI_API_KEY,GOOGLE_API_KEY")
HECTOR_FUNCTION_ALLOW = envlist("HECTOR_FUNCTION_ALLOW", "hector_demo")  # packages that handlers may come from
HECTOR_HTTP_ALLOW = envlist("HECTOR_HTTP_ALLOW")  # hosts or networks that tools may reach though they are private
HECTOR_WORK_DIR = home() / "apps"

# --- API ------------------------------------------------------------------------------------------------------------
HECTOR_MAX_BODY = envint("HECTOR_MAX_BODY", 1024 * 1024, least=1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = HECTOR_MAX_BODY
HECTOR_METRICS_PUBLIC = envbool("HECTOR_METRICS_PUBLIC", False)
HECTOR_IDEMPOTENCY_PERIOD = timedelta(hours=24)
