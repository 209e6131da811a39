#!/usr/bin/env bash
# What docker-compose.yml uses of the image's entrypoint: the role and its password, and scripts for a new cluster, which
# run before the server listens to anybody else.
set -euo pipefail
cluster() { setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; }

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  chown -R postgres:postgres "$PGDATA"
  echo "$POSTGRES_PASSWORD" > /tmp/password
  cluster initdb --username="$POSTGRES_USER" --auth=scram-sha-256 --pwfile=/tmp/password
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  cluster pg_ctl start --wait --options='-c listen_addresses= -k /tmp'
  for script in /docker-entrypoint-initdb.d/*.sql; do
    PGPASSWORD=$POSTGRES_PASSWORD psql --host=/tmp --username="$POSTGRES_USER" --dbname=postgres -v ON_ERROR_STOP=1 --file="$script"
  done
  cluster pg_ctl stop --wait --mode=fast
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups -- postgres -c listen_addresses='*' -k /tmp
