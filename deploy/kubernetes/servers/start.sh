#!/bin/sh
# start postgres NAME: one database, its owner from the Secret NAME-db-owner (username, password) and
#                      the role its service works under from NAME-db-role (role_username, …)
# start rabbitmq:      one node, with the users and permissions of /etc/zhida/definitions.json
# State lies below /data, everything passing below /tmp; nothing else is written.
set -eu

case $1 in
postgres)
    if [ ! -e "$PGDATA/PG_VERSION" ]; then
        rm -rf "$PGDATA.new" # a start that was cut short
        initdb --pgdata "$PGDATA.new" --username postgres --encoding UTF8 --locale C.UTF-8 \
            --data-checksums --auth-local trust --auth-host scram-sha-256 > /tmp/initdb.log
        echo 'host all all all scram-sha-256' >> "$PGDATA.new/pg_hba.conf"
        cat >> "$PGDATA.new/postgresql.conf" <<'CONF'
listen_addresses = '*'
unix_socket_directories = '/tmp'
max_connections = 200
jit = off
track_commit_timestamp = on
log_min_error_statement = panic
log_error_verbosity = terse
CONF
        pg_ctl --pgdata "$PGDATA.new" --options "-c listen_addresses=''" --wait --log /tmp/first.log start
        psql --host /tmp --username postgres --quiet --set ON_ERROR_STOP=1 \
            --set database="$2" --set owner="$username" --set password="$password" \
            --set role="$role_username" --set role_password="$role_password" <<'SQL'
CREATE ROLE :"owner" LOGIN PASSWORD :'password';
CREATE ROLE :"role" LOGIN PASSWORD :'role_password';
CREATE DATABASE :"database" OWNER :"owner" TEMPLATE template0;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO :"role";
SQL
        pg_ctl --pgdata "$PGDATA.new" --wait --mode fast stop
        mv "$PGDATA.new" "$PGDATA"
    fi
    unset password role_password
    exec postgres -D "$PGDATA"
    ;;
rabbitmq)
    export HOME=/data
    if [ ! -e /data/.erlang.cookie ]; then
        (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > /data/.erlang.cookie)
    fi
    printf '[rabbitmq_management,rabbitmq_prometheus].\n' > /tmp/enabled_plugins
    cat > /tmp/rabbitmq.conf <<'CONF'
load_definitions = /etc/zhida/definitions.json
collect_statistics_interval = 500
disk_free_limit.absolute = 200MB
max_message_size = 16777216
vm_memory_high_watermark.absolute = 1GB
log.console = true
log.console.level = warning
log.file = false
CONF
    # RUNNING_UNDER_SYSTEMD: the start script becomes the node, so that signals reach it.
    exec env RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=/tmp/rabbitmq.conf \
        RABBITMQ_ADVANCED_CONFIG_FILE=/tmp/advanced.config \
        RABBITMQ_ENABLED_PLUGINS_FILE=/tmp/enabled_plugins RABBITMQ_MNESIA_BASE=/data/mnesia \
        RABBITMQ_LOG_BASE=/tmp/log RABBITMQ_PID_FILE=/tmp/rabbitmq.pid \
        RABBITMQ_NODENAME=broker@localhost RUNNING_UNDER_SYSTEMD=true \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        rabbitmq-server
    ;;
*)
    echo "start: postgres NAME or rabbitmq" >&2
    exit 2
    ;;
esac
