FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 MINEFARM_ENV=production
WORKDIR /app
COPY requirements/prod.txt requirements/prod.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/prod.txt
COPY . .
# collectstatic reads no table and needs no real secret; production mode only wants to see some.
RUN SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(50))') ALLOWED_HOSTS=build \
    DATABASE_URL=postgres://build/build REDIS_URL=redis://build/0 python manage.py collectstatic --noinput \
    && useradd --system minefarm && mkdir /invoices && chown minefarm /invoices
USER minefarm
EXPOSE 8000
CMD ["gunicorn", "minefarm.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "8"]
