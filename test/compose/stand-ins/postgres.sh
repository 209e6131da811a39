#!/usr/bin/env bash
# What docker-compose.yml uses of the image's entrypoint: the superuser and its password.
set -euo pipefail
cluster() { setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; }

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  chown -R postgres:postgres "$PGDATA"
  echo "$POSTGRES_PASSWORD" > /tmp/password
  cluster initdb --username="$POSTGRES_USER" --auth=scram-sha-256 --pwfile=/tmp/password
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups -- postgres -c listen_addresses='*' -k /tmp
