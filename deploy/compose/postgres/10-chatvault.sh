#!/bin/bash
# Runs once, when the database is made: a role that owns its database and nothing else.
set -euo pipefail
password=$(cat /run/secrets/chatvault_db_password)
psql --set ON_ERROR_STOP=1 --set password="$password" --username "$POSTGRES_USER" <<'SQL'
CREATE ROLE chatvault LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE chatvault OWNER chatvault;
REVOKE ALL ON DATABASE chatvault FROM PUBLIC;
SQL
