# Two stages: the installers of the first do not reach the second. Every package is pinned by
# hash; pin the base by digest too: --build-arg PYTHON_IMAGE=python:…@sha256:… (docs/deployment.md).
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements-bootstrap.txt requirements.txt ./
# litellm's proxy, whose pages are removed, is never run: ChatVault takes only its adapters.
RUN python -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --require-hashes -r requirements-bootstrap.txt \
    && python -m venv --without-pip /venv \
    && /tools/bin/uv pip install --no-cache --compile-bytecode --python /venv/bin/python \
        --require-hashes -r requirements.txt \
    && rm -rf /venv/lib/python3*/site-packages/litellm/proxy/_experimental
WORKDIR /app
COPY manage.py ./
COPY chatvault chatvault
COPY apps apps
COPY templates templates
COPY static static
COPY deploy/image/healthcheck.py ./
RUN CHATVAULT_STATIC_ROOT=/app/staticfiles CHATVAULT_HOME=/tmp/state \
        /venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && /venv/bin/python -m compileall -q chatvault apps manage.py healthcheck.py \
    && chmod -R a+rX,go-w /app /venv

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="ChatVault" \
    org.opencontainers.image.description="A self-hosted LLM gateway run from the Django admin" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 chatvault \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin chatvault \
    && install -d -o chatvault -g chatvault -m 0700 /state
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHATVAULT_HOME=/state \
    CHATVAULT_STATIC_ROOT=/app/staticfiles \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "/app/healthcheck.py"]
ENTRYPOINT ["python", "manage.py"]
CMD ["serve"]
