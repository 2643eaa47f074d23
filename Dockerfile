ARG BUILD_IMAGE=python:3.11-slim-bookworm
ARG RUNTIME_IMAGE=python:3.11-slim-bookworm

FROM ${BUILD_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# pip has an environment of its own, so that none of it is in the one that ships.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
COPY requirements/app.txt /tmp/app.txt
# With SOURCE_DATE_EPOCH set, bytecode is tied to the source's hash and not to its time.
RUN SOURCE_DATE_EPOCH=0 /opt/pip/bin/pip --python /opt/venv/bin/python install \
      --no-cache-dir --no-deps --require-hashes --only-binary :all: -r /tmp/app.txt
COPY app /srv/app
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode checked-hash /srv/app

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="petclinic" \
      org.opencontainers.image.description="Owners, pets, vets and visits on PostgreSQL" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PORT=8080
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/app /srv/app
WORKDIR /srv
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "app"]
