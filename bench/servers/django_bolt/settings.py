"""The least that Django wants to know. The key is the bench's own, for its tokens only."""

SECRET_KEY = "peer-bench-secret-0123456789abcdef-0123456789"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_bolt"]
MIDDLEWARE = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
BOLT_API = ["api:api"]
LOGGING_CONFIG = None
CORS_ALLOW_ALL_ORIGINS = True
