#!/usr/bin/env bash
# PostgreSQL with PostGIS and pgstac for tests, on 127.0.0.1 only, from Debian packages unpacked into a cache folder.
# Nothing is installed on the machine; the loader pypgstac gets a virtual environment of its own in the cache, because
# its pins do not agree with other test requirements.
#
#   pgstac.sh fetch CACHE PYTHON         packages and pypgstac into CACHE, once; PYTHON makes the environment
#   pgstac.sh start CACHE RUN PORT       a new, empty pgstac database; its address: postgresql://pg@127.0.0.1:PORT/stac
#   pgstac.sh load CACHE PORT COLLECTIONS.ndjson ITEMS.ndjson
#   pgstac.sh stop RUN
set -euo pipefail
version=15

fetch() {
  local cache=$1 python=$2 packages
  exec 9>"$cache/lock"
  flock 9
  [ -d "$cache/root" ] && return 0
  rm -rf "$cache/part" "$cache/venv"
  mkdir -p "$cache/part/debs" "$cache/part/root" "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
  # Package lists of our own, so that neither root nor a change to the machine is needed.
  local apt=(apt-get -qq -o "Dir::State::lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt/cache"
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1
    -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
  "${apt[@]}" update
  packages=$("${apt[@]}" install --simulate --no-install-recommends "postgresql-$version-postgis-3" | awk '$1 == "Inst" {print $2}')
  # The server and its client are named too: on a machine that has them installed the simulation leaves them out.
  packages=$(printf '%s\n' $packages "postgresql-$version" "postgresql-client-$version" libpq5 | sort -u)
  (cd "$cache/part/debs" && "${apt[@]}" download $packages)
  for deb in "$cache"/part/debs/*.deb; do dpkg-deb --extract "$deb" "$cache/part/root"; done
  # A package would do this on installation.
  ln -sf postgis-3.control "$cache/part/root/usr/share/postgresql/$version/extension/postgis.control"
  "$python" -m venv "$cache/venv"
  "$cache/venv/bin/python" -m pip install --quiet 'pypgstac[psycopg]'
  mv "$cache/part/root" "$cache/root" # last, so that a broken download is never taken for a whole one
  rm -rf "$cache/part" "$cache/apt"
}

use_packages() { # use_packages FOLDER_THAT_HOLDS_ROOT
  bin=$1/root/usr/lib/postgresql/$version/bin
  local lib
  lib=$1/root/usr/lib/$(uname -m)-linux-gnu
  libraries=$lib:$lib/blas:$lib/lapack:$1/root/lib/$(uname -m)-linux-gnu
}

as_server() { # PostgreSQL refuses to run as root
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid=nobody --regid=nogroup --clear-groups env LD_LIBRARY_PATH="$libraries" "$@"
  else
    env LD_LIBRARY_PATH="$libraries" "$@"
  fi
}

sql() { # sql DATABASE PORT COMMAND...
  local database=$1 port=$2 options=()
  shift 2
  for command in "$@"; do options+=(--command "$command"); done
  LD_LIBRARY_PATH=$libraries "$bin/psql" --quiet --set ON_ERROR_STOP=1 --host 127.0.0.1 --port "$port" --username pg \
    --dbname "$database" "${options[@]}"
}

start() {
  local cache=$1 run=$2 port=$3
  mkdir -p "$run/data"
  chmod 700 "$run/data"
  if [ "$(id -u)" = 0 ]; then
    # The server's user may not enter root's home, where the cache usually is: links, or copies, in the run folder.
    chmod 755 "$run" && chown nobody "$run/data"
    cp -al "$cache/root" "$run/root" 2>/dev/null || { rm -rf "$run/root" && cp -a "$cache/root" "$run/root"; }
  else
    ln -s "$cache/root" "$run/root"
  fi
  use_packages "$run"
  as_server "$bin/initdb" --pgdata "$run/data" --username pg --auth trust --locale C.UTF-8
  as_server "$bin/pg_ctl" start --wait --pgdata "$run/data" --log "$run/data/server.log" \
    --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
  sql postgres "$port" 'create database stac'
  sql stac "$port" 'create extension postgis' 'create extension btree_gist'
  "$cache/venv/bin/pypgstac" migrate --dsn "postgresql://pg@127.0.0.1:$port/stac"
  sql stac "$port" 'alter database stac set search_path to pgstac, public'
}

load() {
  local dsn=postgresql://pg@127.0.0.1:$2/stac
  "$1/venv/bin/pypgstac" load collections "$3" --dsn "$dsn" --method upsert
  "$1/venv/bin/pypgstac" load items "$4" --dsn "$dsn" --method upsert
}

stop() {
  use_packages "$1"
  [ -f "$1/data/postmaster.pid" ] || return 0
  as_server "$bin/pg_ctl" stop --pgdata "$1/data" --mode fast
}

action=$1
shift
case $action in
  fetch | start | load | stop) "$action" "$@" ;;
  *) echo "pgstac.sh: unknown action '$action'; one of fetch, start, load, stop" >&2; exit 2 ;;
esac
