import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")
os.environ.setdefault("MINEFARM_PROCESS", "web")  # settings give web processes a connection pool

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
