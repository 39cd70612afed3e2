#!/bin/sh
# Starts Postgres as the image `postgres` does: a database and a user of the same name, whose password is a variable.
set -eu
: "${POSTGRES_PASSWORD:?Error: Database is uninitialized and superuser password is not specified.}"
data=/var/lib/postgresql/data
run() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
chown postgres:postgres "$data"
chmod 700 "$data"
if [ ! -e "$data/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    chown postgres /tmp/password
    run initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile /tmp/password --auth-host scram-sha-256 --auth-local trust
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_USER" | run postgres --single -D "$data" postgres
fi
run mkdir -p /tmp/socket
exec setpriv --reuid postgres --regid postgres --clear-groups postgres -D "$data" -c 'listen_addresses=*' \
    -c unix_socket_directories=/tmp/socket
