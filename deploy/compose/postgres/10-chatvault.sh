#!/bin/bash
# Runs once, when the database is made: the owner makes and changes tables, the app reads and
# writes rows (docs/postgresql.md).
set -euo pipefail
owner=$(cat /run/secrets/database_owner_password)
app=$(cat /run/secrets/database_password)
psql --set ON_ERROR_STOP=1 --set owner="$owner" --set app="$app" \
    --username "$POSTGRES_USER" <<'SQL'
CREATE ROLE chatvault_owner LOGIN PASSWORD :'owner';
CREATE ROLE chatvault_app LOGIN PASSWORD :'app';
CREATE DATABASE chatvault OWNER chatvault_owner;
\connect chatvault
REVOKE ALL ON DATABASE chatvault FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE chatvault TO chatvault_owner, chatvault_app;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO chatvault_owner;
GRANT USAGE ON SCHEMA public TO chatvault_app;
ALTER DEFAULT PRIVILEGES FOR ROLE chatvault_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO chatvault_app;
ALTER DEFAULT PRIVILEGES FOR ROLE chatvault_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO chatvault_app;
SQL
