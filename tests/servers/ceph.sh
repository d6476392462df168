#!/usr/bin/env bash
# Ceph's RADOS gateway for tests: one monitor, one in-memory OSD and the gateway, on 127.0.0.1 only, run from Debian
# packages that are unpacked into a cache folder. Nothing is installed; what is stored dies with the processes.
#
#   ceph.sh fetch CACHE                            download and unpack the packages into CACHE, once
#   ceph.sh start CACHE RUN GATEWAY_PORT MON_PORT  RUN must be a short path: sockets live in it
#   ceph.sh stop RUN                               end the three daemons that were started in RUN
#
# Access key and secret key: TILTHTEST, tilth-test-secret.
set -euo pipefail

fetch() {
  local cache=$1 packages
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  [ -d "$cache/root" ] && return 0
  rm -rf "$cache/part"
  mkdir -p "$cache/part/debs" "$cache/part/root" "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
  # Package lists of our own, so that neither root nor a change to the machine is needed.
  local apt=(apt-get -qq -o "Dir::State::lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt/cache"
    -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1
    -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
  "${apt[@]}" update
  packages=$("${apt[@]}" install --simulate --no-install-recommends radosgw ceph-mon ceph-osd | awk '$1 == "Inst" {print $2}')
  (cd "$cache/part/debs" && "${apt[@]}" download $packages)
  for deb in "$cache"/part/debs/*.deb; do dpkg-deb --extract "$deb" "$cache/part/root"; done
  mv "$cache/part/root" "$cache/root" # last, so that a broken download is never taken for a whole one
  rm -rf "$cache/part" "$cache/apt"
}

use_packages() {
  root=$1/root
  lib=$root/usr/lib/$(uname -m)-linux-gnu
  export LD_LIBRARY_PATH=$lib:$lib/ceph:$root/lib/$(uname -m)-linux-gnu
  export PYTHONPATH=$root/usr/lib/python3/dist-packages PATH=$root/usr/bin:$PATH
}

admin() { # the command line of ceph is Python and needs the interpreter its bindings were built for
  /usr/bin/python3 "$root/usr/bin/ceph" --conf "$conf" --connect-timeout 10 "$@"
}

wait_for() { # wait_for SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "gave up waiting for: $*" >&2; return 1; }
    sleep 0.2
  done
}

write_conf() {
  cat >"$conf" <<CONF
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:$mon_port/0
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = $run/keyring
run_dir = $run
mon_data = $run/mon
osd_data = $run/osd
log_file = $run/\$name.log
mon_cluster_log_file = $run/cluster.log
admin_socket = $run/\$name.asok
plugin_dir = $lib/ceph
erasure_code_dir = $lib/ceph/erasure-code
osd_class_dir = $lib/rados-classes
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
[osd]
keyring = $run/osd/keyring
[client.admin]
rgw_data = $run/gateway
rgw_frontends = beast endpoint=127.0.0.1:$gateway_port tcp_nodelay=1
rgw_thread_pool_size = 64
CONF
}

start_monitor() {
  monmaptool --create --addv a "[v2:127.0.0.1:$mon_port]" --fsid "$fsid" "$run/monmap"
  ceph-authtool "$run/keyring" --create-keyring --gen-key --name mon. --cap mon 'allow *'
  ceph-authtool "$run/keyring" --gen-key --name client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-mon --mkfs --id a --conf "$conf" --keyring "$run/keyring" --monmap "$run/monmap"
  ceph-mon --id a --conf "$conf" --pid-file "$run/mon.pid"
  wait_for 30 admin status
}

start_osd() {
  local uuid secret
  uuid=$(cat /proc/sys/kernel/random/uuid)
  secret=$(ceph-authtool --gen-print-key)
  admin osd new "$uuid" --in-file <(printf '{"cephx_secret": "%s"}' "$secret")
  ceph-authtool "$run/osd/keyring" --create-keyring --name osd.0 --add-key "$secret"
  ceph-osd --mkfs --id 0 --osd-uuid "$uuid" --conf "$conf"
  admin osd crush add osd.0 1.0 root=default host=localhost
  ceph-osd --id 0 --conf "$conf" --pid-file "$run/osd.pid"
  wait_for 30 sh -c "'/usr/bin/python3' '$root/usr/bin/ceph' --conf '$conf' osd stat | grep -q '1 up'"
}

start() {
  run=$2 gateway_port=$3 mon_port=$4 conf=$2/ceph.conf
  fsid=$(cat /proc/sys/kernel/random/uuid)
  use_packages "$1"
  mkdir -p "$run/mon" "$run/osd" "$run/gateway"
  write_conf
  start_monitor
  start_osd
  timeout 120 radosgw-admin --conf "$conf" user create --uid=tilth --display-name=tilth \
    --access-key=TILTHTEST --secret-key=tilth-test-secret
  timeout 60 radosgw --name client.admin --keyring "$run/keyring" --conf "$conf" --pid-file "$run/gateway.pid"
  wait_for 60 /usr/bin/python3 -c "import socket; socket.create_connection(('127.0.0.1', $gateway_port))"
}

stop() {
  local name pid
  for name in gateway osd mon; do
    [ -f "$1/$name.pid" ] || continue
    pid=$(cat "$1/$name.pid")
    # The number may have passed to another process since: only one that runs on our configuration is ended.
    grep -qsF "$1/ceph.conf" "/proc/$pid/cmdline" || continue
    kill "$pid"
    for _ in $(seq 50); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    [ ! -d "/proc/$pid" ] || kill -KILL "$pid"
  done
}

action=$1
shift
case $action in
  fetch | start | stop) "$action" "$@" ;;
  *) echo "ceph.sh: unknown action '$action'; one of fetch, start, stop" >&2; exit 2 ;;
esac
