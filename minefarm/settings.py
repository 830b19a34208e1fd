"""Every setting, in reading order, from the environment.

`manage.py` and the tests fill in DATABASE_URL and REDIS_URL from the embedded servers when they are not set.
docs/reference/settings.md lists the variables.
"""

import secrets
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from events.backoff import SCHEDULE_S
from minefarm.env import development_secret, env, env_secret, poll_cidrs, port_ranges, refuse_unsafe_production

# --- what kind of process this is -------------------------------------------------------------------------------------
BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(env.str("MINEFARM_STATE_DIR", default=str(BASE_DIR / ".minefarm")))
PRODUCTION = env.str("MINEFARM_ENV", default="development") == "production"
WEB_PROCESS = env.str("MINEFARM_PROCESS", default="") == "web"
NO_DATABASE = env.bool("MINEFARM_NO_DATABASE", default=False)  # set by manage.py for commands that need none

# --- secrets and hosts ------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
DATABASE_URL = env_secret("DATABASE_URL")
REDIS_URL = env_secret("REDIS_URL")
SECRET_KEY = env_secret("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
if PRODUCTION and not NO_DATABASE:
    refuse_unsafe_production(
        secret_key=SECRET_KEY,
        debug=DEBUG,
        allowed_hosts=ALLOWED_HOSTS,
        database_url=DATABASE_URL,
        redis_url=REDIS_URL,
    )
SECRET_KEY = SECRET_KEY or (secrets.token_urlsafe(50) if NO_DATABASE else development_secret(STATE_DIR))

# --- apps, lowest layer last ------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "minefarm",
    "crm",
    "curtailment",
    "analytics",
    "hosting",
    "accounts",
    "events",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_htmx",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "minefarm.middleware.AdminContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.timed_access.AccessWindow",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.SessionLimits",
    "accounts.middleware.SecondFactorRequired",
    "accounts.middleware.PleaseWait",
    "accounts.viewing.ViewAs",  # after all that is about the person who is signed in
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.rls.RowSecurity",  # last: sessions, messages and what others write stay outside of its transaction
]
ROOT_URLCONF = "minefarm.urls"
WSGI_APPLICATION = "minefarm.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

# --- database ---------------------------------------------------------------------------------------------------------
# The specification's pool (10 connections, up to 30, recycled after 300 s, checked before use) serves the web processes.
# Workers and commands keep one connection: a pool would be opened anew for every Celery task.
RECYCLE_S = 300
DATABASES: dict[str, dict[str, Any]] = {"default": {"ENGINE": "django.db.backends.dummy"}}
if DATABASE_URL and not NO_DATABASE:
    DATABASES["default"] = env.db_url_config(DATABASE_URL)
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"] = {"application_name": f"minefarm-{env.str('MINEFARM_PROCESS', default='manage')}"}
    if WEB_PROCESS:
        DATABASES["default"]["OPTIONS"]["pool"] = {
            "min_size": 10,
            "max_size": 30,
            "max_lifetime": RECYCLE_S,
            "timeout": 10,
        }
    else:
        DATABASES["default"]["CONN_MAX_AGE"] = RECYCLE_S
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIGRATION_MODULES = {"knox": None}  # its token table is swapped for ours, and would be made all the same

# --- cache, sessions, messages ----------------------------------------------------------------------------------------
CACHES = {
    "default": {
        "BACKEND": "minefarm.lib.cache.SteadyCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 1},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = PRODUCTION
CSRF_COOKIE_SECURE = PRODUCTION
# The prefix makes browsers refuse a cookie that another host of the domain, or plain HTTP, tries to plant.
COOKIE_PREFIX = "__Host-" if PRODUCTION else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}sessionid"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrftoken"
KNOWN_DEVICE_COOKIE = f"{COOKIE_PREFIX}device"
SESSION_STAFF_IDLE_S = env.int("SESSION_STAFF_IDLE_S", default=30 * 60)
SESSION_STAFF_MAX_S = env.int("SESSION_STAFF_MAX_S", default=12 * 3600)
SESSION_CLIENT_IDLE_S = env.int("SESSION_CLIENT_IDLE_S", default=8 * 3600)
SESSION_CLIENT_MAX_S = env.int("SESSION_CLIENT_MAX_S", default=7 * 86_400)
SESSION_COOKIE_AGE = max(SESSION_STAFF_MAX_S, SESSION_CLIENT_MAX_S)

# --- people: sign-in by e-mail, no self-registration ------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
SILENCED_SYSTEM_CHECKS = ["auth.W004"]  # e-mail is unique by an index on lower(email), which is stricter than asked
AUTHENTICATION_BACKENDS = ["accounts.backends.FarmBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]  # cost 12
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "accounts.signins.hashing.SensibleLength"},
]
PASSWORD_RESET_TIMEOUT = 3600
# People whom nobody ever gave a stretch of access (user_access): allow or deny. Owners always have access.
ACCESS_WITHOUT_GRANT = env.str("ACCESS_WITHOUT_GRANT", default="allow")
if ACCESS_WITHOUT_GRANT not in {"allow", "deny"}:
    raise ImproperlyConfigured(f"ACCESS_WITHOUT_GRANT is {ACCESS_WITHOUT_GRANT!r}: set it to allow or deny.")
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # accounts are made by staff
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False  # a mailed link does not stand in for the second factor
ACCOUNT_FORMS = {
    "login": "accounts.signins.forms.SignInForm",
    "reauthenticate": "accounts.signins.forms.ConfirmByPasswordForm",
    "change_password": "accounts.signins.forms.NewPasswordForm",
    "reset_password": "accounts.signins.forms.ResetLinkForm",
}
# Passwords have limits of their own, accounts/signins/limits.py; allauth counts codes, confirmations and reset mails.
ACCOUNT_RATE_LIMITS = {
    "login": None,
    "login_failed": "5/15m/key",
    "reauthenticate": "5/5m/user",
    "reset_password": "20/h/ip,5/h/key",  # who uses up the five has left five good links in the owner's mail
}
STEP_UP_S = ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
REQUIRE_SECOND_FACTOR = env.bool("REQUIRE_SECOND_FACTOR", default=PRODUCTION)
MFA_ADAPTER = "accounts.second_factor.SecondFactorAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are staff's word
MFA_TOTP_TOLERANCE = 1  # half minutes that a phone's clock may be off
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_FORMS = {
    "authenticate": "accounts.signins.forms.SecondFactorForm",
    "reauthenticate": "accounts.signins.forms.ConfirmByCodeForm",
    "activate_totp": "accounts.signins.forms.NewSecondFactorForm",
}
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10
# Where people reach this site, for links in mails that no request leads to, such as https://farm.example.com.
PUBLIC_URL = env.str("PUBLIC_URL", default="" if PRODUCTION else "http://localhost:8000").rstrip("/")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="MineFarm <minefarm@localhost>")

# --- language, time, static files -------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DATE_FORMAT, TIME_FORMAT, DATETIME_FORMAT = "Y-m-d", "H:i", "Y-m-d H:i"
STATIC_URL = "/static/"
# Outside production files are served from where they lie, so that no collectstatic stands between edit and page.
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "static_root")) if PRODUCTION else None
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- browser security -------------------------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_SSL_REDIRECT = PRODUCTION and env.bool("SECURE_SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# --- API --------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    # The token first: its challenge makes a refusal 401.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.api.throttles.CallerThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "caller": env.str("API_RATE", default="600/min"),
        "anonymous": env.str("API_RATE_ANONYMOUS", default="30/min"),
        "failed_token": env.str("API_RATE_FAILED_TOKENS", default="30/3min"),
        "new_token": env.str("API_RATE_NEW_TOKENS", default="10/hour"),
        "agent": env.str("API_RATE_AGENT", default="240/min"),
        "signals": env.str("API_RATE_SIGNALS", default="120/min"),
    },
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["minefarm.lib.rendering.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "minefarm.lib.paging.IdCursor",
    "EXCEPTION_HANDLER": "minefarm.api.handle",
    "COERCE_DECIMAL_TO_STRING": False,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
KNOX_TOKEN_MODEL = "accounts.ApiToken"  # noqa: S105  a model's name
REST_KNOX = {"TOKEN_PREFIX": "mf_"}  # 256 random bits follow; only their SHA-512 is kept
SPECTACULAR_SETTINGS = {
    "TITLE": "MineFarm API",
    "DESCRIPTION": "Sites, machines and their telemetry. Times are UTC; unknown values are null, never zero.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "MinerStatusEnum": "hosting.states.MinerStatus",
        "CommandStatusEnum": "hosting.states.CommandStatus",
        "TicketStatusEnum": "hosting.states.TicketStatus",
        "FaultEnum": "hosting.states.Fault",
        "EndpointStatusEnum": "events.models.EndpointStatus",
        "AlertKindEnum": "hosting.alerts.kinds.AlertKind",
        "RuleKindEnum": "curtailment.models.RuleKind",
        "SignalKindEnum": [(kind, kind) for kind in ("start", "stop", "level", "heartbeat")],
        "EndpointKindEnum": "events.models.EndpointKind",
        "DeliveryStatusEnum": "events.models.OutboxStatus",
        "LeadStatusEnum": "crm.states.LeadStatus",
        "LeadMoveEnum": "crm.api.leads.LEAD_TARGETS",
        "DealStageEnum": "crm.states.DealStage",
        "ActivityKindEnum": "crm.states.ActivityKind",
        "InvoiceStatusEnum": "crm.states.InvoiceStatus",
        "InvoiceKindEnum": "crm.states.InvoiceKind",
        "LineKindEnum": "crm.states.LineKind",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "minefarm.api.describe_errors",
    ],
}

# --- background jobs: beat sends ticks, the rows hold the future ------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
VISIBILITY_TIMEOUT_S = 3600  # a task not finished by then is handed out again: every time limit stays far below
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": VISIBILITY_TIMEOUT_S,
    "socket_timeout": 10,
    "socket_connect_timeout": 3,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_max": 0.5}
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # nothing to clean up, so beat schedules no clean-up
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 900
CELERY_TASK_SOFT_TIME_LIMIT = 840
CELERY_TASK_ACKS_LATE = False  # True only on a task that also says idempotent=True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_DB_REUSE_MAX = 1000  # without it every task opens a database connection of its own
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_TASK_DEFAULT_QUEUE = "default"
# A backlog in one queue must not hold up another; a misspelt queue is an error, not a queue without a worker.
CELERY_TASK_QUEUES: dict[str, dict[str, str]] = {
    name: {} for name in ("default", "control", "telemetry", "outbox", "pdf")
}
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_ROUTES = {
    "hosting.tasks.sweep*": {"queue": "telemetry"},
    "hosting.tasks.work_commands": {"queue": "control"},
    "curtailment.tasks.run_curtailment": {"queue": "control"},
    "curtailment.tasks.evaluate_rules": {"queue": "control"},
    "hosting.tasks.discover*": {"queue": "default"},
    "events.tasks.dispatch*": {"queue": "outbox"},
}

# --- telemetry --------------------------------------------------------------------------------------------------------
TELEMETRY_POLL_TIMEOUT_S = env.float("TELEMETRY_POLL_TIMEOUT_S", default=3.0)
TELEMETRY_POLL_CONCURRENCY = env.int("TELEMETRY_POLL_CONCURRENCY", default=2000)
TELEMETRY_SPOOL_MAX_MB = env.int("TELEMETRY_SPOOL_MAX_MB", default=2048)
TELEMETRY_PARTITION_DAYS_AHEAD = env.int("TELEMETRY_PARTITION_DAYS_AHEAD", default=7)

# --- curtailment ------------------------------------------------------------------------------------------------------
# A pass that dies is succeeded by another one after so many seconds.
CURTAILMENT_LOCK_TTL_S = env.float("CURTAILMENT_LOCK_TTL_S", default=30.0)
# How long after a plan's end the watchdog waits for the passes before it brings the machines back itself.
CURTAILMENT_WATCHDOG_AFTER_S = env.float("CURTAILMENT_WATCHDOG_AFTER_S", default=180.0)

# --- where machines may be (hosting/addresses.py) ----------------------------------------------------------------------
PRIVATE_NETWORKS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
# Outside of production simulated machines live on loopback networks, and on any port; servers live on 127.0.
SIMULATED_NETWORKS = [str(part) for part in IPv4Network("127.0.0.0/8").address_exclude(IPv4Network("127.0.0.0/16"))]
POLL_CIDRS = poll_cidrs(
    env.list("MINEFARM_POLL_CIDRS", default=PRIVATE_NETWORKS + ([] if PRODUCTION else SIMULATED_NETWORKS)),
    production=PRODUCTION,
)
# What `poll_miner` may read there as well, where nobody has said which networks there are: replies replayed on 127.0.0.1.
REPLAY_CIDRS = [] if PRODUCTION or env.list("MINEFARM_POLL_CIDRS", default=[]) else [IPv4Network("127.0.0.0/16")]
POLL_PORTS = port_ranges(env.list("MINEFARM_POLL_PORTS", default=["4028"] if PRODUCTION else ["1024-65535"]))

# --- control ----------------------------------------------------------------------------------------------------------
MINEFARM_FACTORY_LOGINS = env.bool("MINEFARM_FACTORY_LOGINS", default=False)

# --- market: keyless sources by their base URLs; an empty one is not asked -----------------------------------------------
MARKET_SOURCE = env.str("MARKET_SOURCE", default="live")
if MARKET_SOURCE not in {"live", "generated", "off"}:
    raise ImproperlyConfigured(f"MARKET_SOURCE is {MARKET_SOURCE!r}: set it to live, generated or off.")
MARKET_TIMEOUT_S = env.float("MARKET_TIMEOUT_S", default=8.0)
MARKET_COINBASE_URL = env.str("MARKET_COINBASE_URL", default="https://api.exchange.coinbase.com")
MARKET_KRAKEN_URL = env.str("MARKET_KRAKEN_URL", default="https://api.kraken.com")
MARKET_BITSTAMP_URL = env.str("MARKET_BITSTAMP_URL", default="https://www.bitstamp.net")
MARKET_GEMINI_URL = env.str("MARKET_GEMINI_URL", default="https://api.gemini.com")
MARKET_BINANCE_URL = env.str("MARKET_BINANCE_URL", default="https://api.binance.com")
MARKET_MEMPOOL_URL = env.str("MARKET_MEMPOOL_URL", default="https://mempool.space")
MARKET_BLOCKCHAIN_URL = env.str("MARKET_BLOCKCHAIN_URL", default="https://api.blockchain.info")
MARKET_INNER_TARGETS = env.list("MARKET_INNER_TARGETS", default=[])
POWER_TIMEOUT_S = env.float("POWER_TIMEOUT_S", default=20.0)
POWER_ENERGY_CHARTS_URL = env.str("POWER_ENERGY_CHARTS_URL", default="https://api.energy-charts.info")
POWER_NYISO_URL = env.str("POWER_NYISO_URL", default="https://mis.nyiso.com")
POOL_FEE_PERCENT = env.float("POOL_FEE_PERCENT", default=0.0)
if not 0 <= POOL_FEE_PERCENT < 100:
    raise ImproperlyConfigured(f"POOL_FEE_PERCENT is {POOL_FEE_PERCENT}: give a percentage from 0 to below 100.")
BITCOIN_NODE_URL = env.str("BITCOIN_NODE_URL", default="")
BITCOIN_NODE_USER = env.str("BITCOIN_NODE_USER", default="")
BITCOIN_NODE_PASSWORD = env_secret("BITCOIN_NODE_PASSWORD")

# --- events -----------------------------------------------------------------------------------------------------------
OUTBOX_LEASE_S = env.int("OUTBOX_LEASE_S", default=60)
OUTBOX_MAX_ATTEMPTS = env.int("OUTBOX_MAX_ATTEMPTS", default=10)
OUTBOX_BACKOFF_S = env.list("OUTBOX_BACKOFF_S", cast=float, default=list(SCHEDULE_S))
WEBHOOK_DISABLE_AFTER_DAYS = env.int("WEBHOOK_DISABLE_AFTER_DAYS", default=5)
EVENTS_STREAM_MAXLEN = env.int("EVENTS_STREAM_MAXLEN", default=100_000)
WEBHOOK_ALLOWED_TARGETS = env.list("WEBHOOK_ALLOWED_TARGETS", default=[])
ALERT_EMAILS = env.list("ALERT_EMAILS", default=[])

# --- invoices: who asks for the money, and how it is numbered ---------------------------------------------------------
COMPANY_NAME = env.str("COMPANY_NAME", default="MineFarm")
COMPANY_ADDRESS = [line.strip() for line in env.str("COMPANY_ADDRESS", default="").split("|") if line.strip()]
COMPANY_TAX_ID = env.str("COMPANY_TAX_ID", default="")
COMPANY_BANK = [line.strip() for line in env.str("COMPANY_BANK", default="").split("|") if line.strip()]
COMPANY_LOGO = env.str("COMPANY_LOGO", default="")  # a PNG or JPEG file; empty: one that is drawn
INVOICE_TERMS = env.str("INVOICE_TERMS", default="")
INVOICE_DIR = Path(env.str("INVOICE_DIR", default=str(STATE_DIR / "invoices")))  # under no address of the web
INVOICE_TIME_ZONE = env.str("INVOICE_TIME_ZONE", default="UTC")
INVOICE_SERIES = env.str("INVOICE_SERIES", default="INV")
CREDIT_NOTE_SERIES = env.str("CREDIT_NOTE_SERIES", default="CN")
if INVOICE_SERIES == CREDIT_NOTE_SERIES:
    raise ImproperlyConfigured(
        "INVOICE_SERIES and CREDIT_NOTE_SERIES are the same: give credit notes a series of their own."
    )
# Days from the due date, below zero before it.
INVOICE_REMINDER_DAYS = [int(days) for days in env.list("INVOICE_REMINDER_DAYS", default=["-3", "0", "3", "7"])]

# --- retention: days that rows are kept, 0 for ever -------------------------------------------------------------------
RETENTION_TELEMETRY_DAYS = env.int("RETENTION_TELEMETRY_DAYS", default=90)
RETENTION_OPERATION_LOG_DAYS = env.int("RETENTION_OPERATION_LOG_DAYS", default=365)
RETENTION_LOGIN_RECORDS_DAYS = env.int("RETENTION_LOGIN_RECORDS_DAYS", default=365)
RETENTION_OUTBOX_DAYS = env.int("RETENTION_OUTBOX_DAYS", default=30)
RETENTION_SWEEPS_DAYS = env.int("RETENTION_SWEEPS_DAYS", default=365)
RETENTION_FIVE_MINUTES_DAYS = env.int("RETENTION_FIVE_MINUTES_DAYS", default=730)

# --- files and spreadsheets -------------------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

# --- admin's looks ----------------------------------------------------------------------------------------------------
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "MineFarm",
    "SITE_HEADER": "MineFarm",
    "SITE_SUBHEADER": "Farm administration",
    "SITE_URL": "/",
    "SITE_SYMBOL": "bolt",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": True,
    "BORDER_RADIUS": "6px",
    "SITE_ICON": lambda _request: f"{STATIC_URL}img/logo.svg",
    "COLORS": {
        "primary": {
            "50": "#eef9f2",
            "100": "#d6f0e0",
            "200": "#aee0c3",
            "300": "#7ecba1",
            "400": "#4fbf86",
            "500": "#2a9560",
            "600": "#0f6b41",
            "700": "#0d5837",
            "800": "#0c462d",
            "900": "#0a3a26",
            "950": "#052014",
        }
    },
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": "minefarm.navigation.admin_sidebar"},
    "DASHBOARD_CALLBACK": "minefarm.navigation.admin_dashboard",
}

# --- logs -------------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.server": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "celery": {"level": env.str("CELERY_LOG_LEVEL", default="WARNING")},
    },
}
