# Tags, not digests: pin a digest here once the registry you build from is fixed, and let a bot renew it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# --- Scripts and styles of the pages, as `make setup` gets them: npm from a pinned wheel, packages from the lock
FROM ${PYTHON_IMAGE} AS assets
WORKDIR /app
COPY .npmrc package.json package-lock.json ./
COPY tools/assets.py tools/
RUN python tools/assets.py

# --- Dependencies, in an environment that is copied as one folder; pip's own cache stays behind
FROM ${PYTHON_IMAGE} AS dependencies
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt .
RUN /opt/venv/bin/pip install --no-cache-dir --no-compile --disable-pip-version-check \
        --no-deps --require-hashes --only-binary :all: -r requirements.txt \
    && /opt/venv/bin/pip check --disable-pip-version-check \
    && /opt/venv/bin/python -m compileall -q /opt/venv/lib

# --- The image
FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    LOG_FORMAT=json \
    HOST=0.0.0.0 \
    PORT=8000 \
    WORKERS=1 \
    DATABASE_URL=sqlite:////data/tandem.db

# A number, so that an orchestrator can see that it is not root. It owns nothing but the embedded database's folder:
# everything else works on a read-only file system.
RUN install --directory --owner=10001 --group=10001 /data

WORKDIR /app
COPY --from=dependencies /opt/venv /opt/venv
COPY . .
COPY --from=assets /app/api/pages/assets api/pages/assets
RUN python tools/guides.py && python -m compileall -q .

USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]

# Migrations are a step of their own (`alembic upgrade head` in this image): see docs/deployment.md.
CMD ["gunicorn", "-c", "gunicorn.conf.py", "api.main:app"]
