"""Checks what is in deploy/ with the tools that read it in earnest. `make deploy-check`.

Each check says `ok`, what is wrong, or that it could not look and why. Exits 1 only when
something is wrong.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/chatvault"
TOOLS = ROOT / ".tools"
KUBERNETES = ("1.27", "1.37")  # the oldest that the chart names, and the newest that is known
MOST_EXPOSED = 2.0  # of 10, by systemd's own count


class NotHere(Exception):
    """What the check needs cannot be had on this machine."""


def main() -> int:
    status = 0
    unchecked = []
    for check in (dockerfile, scripts, compose, chart, units, proxy):
        name = check.__name__
        try:
            wrong = list(check())
        except NotHere as reason:
            unchecked.append(f"{name} ({reason})")
            continue
        for line in wrong:
            print(f"deploy-check: {name}: WRONG: {line}", file=sys.stderr)
        if not wrong:
            print(f"deploy-check: {name}: ok")
        status |= bool(wrong)
    for line in unchecked:
        print(f"deploy-check: NOT CHECKED: {line}", file=sys.stderr)
    return status


def dockerfile() -> Iterator[str]:
    yield from _run(_tool("hadolint"), ROOT / "Dockerfile")


def scripts() -> Iterator[str]:
    files = sorted(path for path in DEPLOY.rglob("*.sh"))
    yield from _run(_tool("shellcheck"), "--severity=style", *files)


def compose() -> Iterator[str]:
    """As an operator starts it: with a name and with secrets that the script has made."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "deploy"
        shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("secrets", ".env"))
        here = copy / "compose"
        command = [*_compose(), "-f", str(here / "compose.yaml")]
        if not list(_run(*command, "config", "--quiet", cwd=here)):
            yield "it starts without a host name"
        example = (here / ".env.example").read_text(encoding="utf-8")
        named = example.replace("CHATVAULT_HOSTNAME=\n", "CHATVAULT_HOSTNAME=llm.test.org\n")
        (here / ".env").write_text(named, encoding="utf-8")
        yield from _run(here / "make-secrets.sh", cwd=here)
        yield from _run(*command, "config", "--quiet", cwd=here)
        yield from _run(sys.executable, here / "preflight.py", here / "secrets")
        yield from _against_the_schema(here / "compose.yaml")


def _compose() -> list[str]:
    if shutil.which("docker") and not list(_run("docker", "compose", "version")):
        return ["docker", "compose"]
    return [_tool("docker-compose")]


def _against_the_schema(path: Path) -> Iterator[str]:
    schema = TOOLS / "compose-spec.json"
    if not schema.exists():
        raise NotHere("the schema of the compose specification is missing; the rest is ok")
    program = (
        "import json, sys, yaml, jsonschema\n"
        "schema = json.load(open(sys.argv[1])); schema.pop('$schema', None)\n"
        "found = jsonschema.Draft201909Validator(schema).iter_errors("
        "yaml.safe_load(open(sys.argv[2])))\n"
        "sys.exit('\\n'.join(f'{list(e.path)}: {e.message}' for e in found) or 0)\n"
    )
    yield from _run(TOOLS / "bin/python", "-c", program, schema, path)


def chart() -> Iterator[str]:
    helm = _tool("helm")
    if not list(_run(helm, "template", "cv", CHART)):
        yield "it renders without the values that must be named"
    for values in sorted((CHART / "ci").glob("*.yaml")):
        yield from _run(helm, "lint", "--strict", CHART, "-f", values)
        rendered = subprocess.run(
            [helm, "template", "cv", CHART, "-f", values],
            capture_output=True,
            text=True,
            check=False,
        )
        if rendered.returncode:
            yield rendered.stderr.strip()
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(rendered.stdout)
            file.flush()
            for version in KUBERNETES:
                validate = [_tool("kubernetes-validate"), "--strict", "-k", version, file.name]
                yield from (f"{values.name}: {line}" for line in _run(*validate))


def units() -> Iterator[str]:
    """Verified with the program that runs them set to one that exists here."""
    analyze = _tool("systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for unit in sorted((DEPLOY / "systemd").glob("*.*")):
            if unit.suffix in (".service", ".target"):
                copies.append(Path(folder) / unit.name)
                text = unit.read_text(encoding="utf-8")
                text = text.replace("/opt/chatvault/.venv/bin/python", "/bin/true")
                copies[-1].write_text(text, encoding="utf-8")
        yield from _run(analyze, "verify", "--man=no", *copies)
        for unit in copies:
            if unit.suffix == ".service":
                yield from _exposure(analyze, unit)


def _exposure(analyze: str, unit: Path) -> Iterator[str]:
    told = subprocess.run(
        [analyze, "security", "--offline=true", unit], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", told)
    if found is None:
        raise NotHere("this systemd-analyze cannot judge files; they are well formed")
    if float(found[1]) > MOST_EXPOSED:
        yield f"{unit.name}: exposure {found[1]} of 10"


def proxy() -> Iterator[str]:
    """nginx reads its configuration, with names and certificates that exist here."""
    nginx = _tool("nginx")
    with tempfile.TemporaryDirectory() as folder:
        _make_certificate(Path(folder))
        path = Path(folder) / "nginx.conf"
        path.write_text(nginx_here(nginx, {}, Path(folder)), encoding="utf-8")
        yield from _run(nginx, "-t", "-q", "-c", path)


def nginx_here(nginx: str, ports: dict[str, int], secrets: Path) -> str:
    """The configuration for this machine's nginx: its version, places for names, secrets."""
    text = (DEPLOY / "compose/nginx/nginx.conf").read_text(encoding="utf-8")
    told = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    number = tuple(map(int, re.findall(r"\d+", told)[:3]))
    for name in ("gateway-1", "gateway-2", "web"):
        text = text.replace(f"{name}:8000 resolve", f"127.0.0.1:{ports.get(name, 8000)}")
    if number < (1, 25, 1):
        text = text.replace("http2 on;", "").replace("8443 ssl;", "8443 ssl http2;")
    for port in (8080, 8443):
        text = text.replace(f"listen {port}", f"listen 127.0.0.1:{ports.get(str(port), port)}")
    return text.replace("/run/secrets/", f"{secrets}/")


def _make_certificate(folder: Path) -> None:
    words = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=llm.test.org"
    files = ["-keyout", folder / "tls_key", "-out", folder / "tls_certificate"]
    for line in _run(_tool("openssl"), *words.split(), *files):
        raise NotHere(line)


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{TOOLS / 'bin'}:{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise NotHere(f"{name} is missing")
    return found


def _run(*words: object, cwd: Path = ROOT) -> Iterator[str]:
    """Nothing when it succeeds, else its own words."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        yield (done.stderr + done.stdout).strip() or f"{words[0]} ended with {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
