#!/usr/bin/env bash
# Makes the secrets of the compose set-up, each in a file of its own in ./secrets/. What is there
# already is kept: run it again after an update. Needs openssl.
#
# The folder can be entered by its owner alone. The files in it can be read by all, because the
# services run as users of their own, who see single files and not the folder.
set -euo pipefail
cd "$(dirname "$0")"
umask 022

say() { printf 'make-secrets: %s\n' "$*"; }
fail() { printf 'make-secrets: %s\n' "$*" >&2; exit 1; }

command -v openssl >/dev/null || fail "openssl is needed"
[ -f .env ] || cp .env.example .env
host=$(sed -n 's/^CHATVAULT_HOSTNAME=//p' .env | tail -n 1)
[ -n "$host" ] || fail "name the host in .env first: CHATVAULT_HOSTNAME=llm.your-company.org"

mkdir -p secrets
chmod 0700 secrets

# keep NAME VALUE: writes the file unless it is there; whole or not at all.
keep() {
    if [ -s "secrets/$1" ]; then
        return
    fi
    printf '%s\n' "$2" >"secrets/.$1.part"
    chmod 0444 "secrets/.$1.part"
    mv "secrets/.$1.part" "secrets/$1"
    say "made secrets/$1"
}
word() { openssl rand -hex 24; }
digest() { printf '%s' "$1" | openssl dgst -sha256 -r | cut -d ' ' -f 1; }

keep secret_key "$(openssl rand -base64 48 | tr -d '\n')"
keep key_pepper "$(openssl rand -base64 32)"
keep vault_keys "k1:$(openssl rand -base64 32)"
keep postgres_password "$(word)"
keep database_password "$(word)"
keep database_owner_password "$(word)"
keep grafana_password "$(word)"
keep database_url \
    "postgresql://chatvault_app:$(cat secrets/database_password)@postgres:5432/chatvault"
keep database_owner_url \
    "postgresql://chatvault_owner:$(cat secrets/database_owner_password)@postgres:5432/chatvault"

# The users and their rights come from ../redis/users.acl; passwords are added as digests.
# The password in a URL that was made before; else a new one.
password_in() { sed -n 's#^redis://[^:]*:\([^@]*\)@.*#\1#p' "secrets/$1" 2>/dev/null || word; }
limits_password=$(password_in redis_url)
queue_password=$(password_in celery_broker_url)
keep redis_url "redis://chatvault:${limits_password}@redis:6379/0"
keep celery_broker_url "redis://chatvault-queue:${queue_password}@redis:6379/1"
rm -f secrets/redis_users # rights may have changed with an update
keep redis_users "$(sed \
    -e "s/^user chatvault /&#$(digest "$limits_password") /" \
    -e "s/^user chatvault-queue /&#$(digest "$queue_password") /" ../redis/users.acl)"

if [ ! -s secrets/tls_certificate ]; then
    openssl req -x509 -newkey rsa:3072 -nodes -days 90 -subj "/CN=$host" \
        -addext "subjectAltName=DNS:$host" \
        -keyout secrets/.tls_key -out secrets/.tls_certificate 2>/dev/null
    chmod 0444 secrets/.tls_key secrets/.tls_certificate
    mv secrets/.tls_key secrets/tls_key
    mv secrets/.tls_certificate secrets/tls_certificate
    say "made a certificate that signs itself, for 90 days: put your own in secrets/tls_*"
fi
if [ ! -f secrets/providers.env ]; then
    {
        echo "# Provider keys that the admin refers to as env:NAME, one NAME=value a line, e.g."
        echo "# OPENAI_API_KEY="
    } >secrets/providers.env
    chmod 0600 secrets/providers.env
fi
say "secrets/ is complete. Keep a copy of vault_keys and key_pepper away from this machine:"
say "without them stored provider secrets and issued keys are worthless."
