#!/bin/sh
# Run once by the PostgreSQL image when its volume is empty: one database and one owner a service.
set -eu
for service in registry cases funding notify; do
    variable=$(printf '%s_PASSWORD' "$service" | tr '[:lower:]' '[:upper:]')
    password=$(printenv "$variable")
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set service="$service" \
        --set password="$password" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service" ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE :"service" FROM PUBLIC;
SQL
done
