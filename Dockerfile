# Two stages: the compilers and installers of the first do not reach the second.
FROM python:3.11-slim AS build
WORKDIR /app
COPY requirements-bootstrap.txt requirements.txt ./
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements-bootstrap.txt \
    && /venv/bin/uv pip install --no-cache --compile-bytecode --python /venv/bin/python \
        --require-hashes -r requirements.txt \
    && /venv/bin/uv pip uninstall --python /venv/bin/python uv pip
COPY manage.py ./
COPY chatvault chatvault
COPY apps apps
COPY templates* templates/
COPY static* static/
RUN /venv/bin/python -m compileall -q chatvault apps \
    && CHATVAULT_STATIC_ROOT=/app/staticfiles \
        /venv/bin/python manage.py collectstatic --noinput --verbosity 0

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin chatvault \
    && install -d -o chatvault -g chatvault -m 0700 /state
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHATVAULT_HOME=/state \
    CHATVAULT_STATIC_ROOT=/app/staticfiles \
    HOST=0.0.0.0
USER chatvault
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["python", "manage.py", "serve"]
