#!/bin/sh
# $1 is the new root. Paths are those of the official image.
set -eu
root=$1 here=$(dirname "$0")
sh "$here/../accounts.sh" "$root" haproxy:99:/var/lib/haproxy
mkdir -p "$root/usr/local/sbin" "$root/usr/local/etc/haproxy" "$root/var/lib/haproxy"
ln -sf ../../sbin/haproxy "$root/usr/local/sbin/haproxy"
chown 99:99 "$root/var/lib/haproxy"
rm -rf "$root/etc/haproxy"
install -m 0755 "$here/docker-entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"
