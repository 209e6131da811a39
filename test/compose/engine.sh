#!/usr/bin/env bash
# A Docker engine for a machine that has none: Debian, as root.
#
#   bash engine.sh start <folder>   then: DOCKER_HOST=unix:///run/larder-engine/docker.sock DOCKER_CONFIG=<folder>/config
#   bash engine.sh stop <folder>    what it has built stays in the folder
#
# What is missing is installed: Debian's docker.io, and the compose plugin from its Go module.
set -euo pipefail
folder=$(realpath -m "$2")
run=/run/larder-engine # Short, because the path of a socket may have 107 characters at most.
plugin=$folder/config/cli-plugins/docker-compose
export DOCKER_HOST=unix://$run/docker.sock
mkdir -p "$folder" "$run"

# logged <file> <command> …: shows the end of a command's output only when it fails.
logged() {
  local log=$folder/$1.log
  "${@:2}" > "$log" 2>&1 && return
  tail -n 15 "$log" >&2
  exit 1
}

install() {
  apt-get update --quiet=2 &&
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "$@"
}

# As a dependency of a module of our own, because `go install` refuses the plugin's go.mod.
build_plugin() {
  local go=go version=1.24.9
  command -v go > /dev/null || install golang-go ca-certificates || return
  if [ -z "$(go env GOTOOLCHAIN)" ]; then
    # Debian 12 has a Go that is too old, and too old to fetch a newer one by itself. As a module, a Go is not executable.
    local toolchain=golang.org/toolchain@v0.0.1-go$version.linux-$(dpkg --print-architecture)
    go mod download "$toolchain" || return
    chmod -R u+x "$(go env GOMODCACHE)/$toolchain"/{bin,pkg/tool}
    go=$(go env GOMODCACHE)/$toolchain/bin/go
  fi
  mkdir -p "$folder/build" "$(dirname "$plugin")" && cd "$folder/build" &&
    printf 'module larder\n\ngo %s\n' "$version" > go.mod &&
    printf 'package larder\n\nimport _ "github.com/docker/compose/v2/cmd"\n' > plugin.go &&
    "$go" get github.com/docker/compose/v2@v2.40.3 && "$go" mod tidy &&
    "$go" build -trimpath -ldflags '-s -w' -o "$plugin" github.com/docker/compose/v2/cmd
}

case $1 in
start)
  if ! docker info > /dev/null 2>&1 && pgrep -x dockerd > /dev/null; then
    echo 'Another Docker engine runs on this machine, and two would share their network: name it in DOCKER_HOST.' >&2
    exit 1
  fi
  for program in docker dockerd iptables; do
    command -v "$program" > /dev/null || missing=1
  done
  [ -z "${missing:-}" ] || logged install install docker.io iptables
  [ -x "$plugin" ] || logged plugin build_plugin
  docker info > /dev/null 2>&1 && exit # One that a run which was killed has left.
  rm -f "$run/pid"
  setsid dockerd --host "$DOCKER_HOST" --data-root "$folder/data" --exec-root "$run/exec" --pidfile "$run/pid" \
    > "$folder/engine.log" 2>&1 < /dev/null &
  for _ in $(seq 300); do
    docker info > /dev/null 2>&1 && exit
    kill -0 $! 2> /dev/null || break
    sleep 0.1
  done
  tail -n 5 "$folder/engine.log" >&2
  exit 1
  ;;
stop)
  pid=$(cat "$run/pid" 2> /dev/null) && kill "$pid" 2> /dev/null || exit 0
  tail --pid="$pid" --follow /dev/null
  ;;
esac
