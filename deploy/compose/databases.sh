#!/bin/sh
# Run once by the PostgreSQL image when its volume is empty: one database a service, owned by the role
# that migrates it; the service's own role may connect, and gets its rights from the migration.
set -eu
for service in registry cases funding notify; do
    variable=$(printf '%s' "$service" | tr '[:lower:]' '[:upper:]')
    password=$(printenv "${variable}_PASSWORD")
    owner_password=$(printenv "${variable}_OWNER_PASSWORD")
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set service="$service" \
        --set password="$password" --set owner="${service}_owner" \
        --set owner_password="$owner_password" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE DATABASE :"service" OWNER :"owner" ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"service" TO :"service";
SQL
done
