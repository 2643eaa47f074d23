#!/bin/sh
# Starts PostgreSQL as the official image does: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS,
# POSTGRES_HOST_AUTH_METHOD and *.sql, *.sh in /docker-entrypoint-initdb.d on the first start; arguments go to the server.
set -eu
case "${1:-}" in '' | -*) set -- postgres "$@" ;; esac
[ "$1" = postgres ] || exec "$@"
: "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}" "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
export PGDATA PGUSER="$POSTGRES_USER"

initialise() {
    if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
        echo 'error: POSTGRES_PASSWORD is not set; give it the password of the first user' >&2
        exit 1
    fi
    secret=$(mktemp)
    set -- --username="$POSTGRES_USER" --auth-local=trust --auth-host="$POSTGRES_HOST_AUTH_METHOD"
    if [ -n "${POSTGRES_PASSWORD:-}" ]; then
        printf '%s\n' "$POSTGRES_PASSWORD" > "$secret"
        set -- "$@" --pwfile="$secret"
    fi
    # shellcheck disable=SC2086 # several arguments in one variable, as in the official image
    initdb "$@" ${POSTGRES_INITDB_ARGS:-}
    rm -f "$secret"
    printf 'host all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >> "$PGDATA/pg_hba.conf"
    pg_ctl --wait --options="-c listen_addresses='' -c fsync=off" start
    [ "$POSTGRES_DB" = postgres ] || createdb --maintenance-db=postgres -- "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sql) psql --no-psqlrc -v ON_ERROR_STOP=1 --dbname="$POSTGRES_DB" --file="$file" ;;
            *.sh) . "$file" ;;
        esac
    done
    pg_ctl --wait --mode=fast stop
}

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
[ -s "$PGDATA/PG_VERSION" ] || initialise
exec "$@" -c listen_addresses='*'
