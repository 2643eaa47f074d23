#!/bin/sh
# $1 is the new root. Paths are those of the official image.
set -eu
root=$1 here=$(dirname "$0")
sh "$here/../accounts.sh" "$root" docker-registry:998:/var/lib/registry
mkdir -p "$root/var/lib/registry" "$root/etc/docker/registry"
ln -sf docker-registry "$root/usr/bin/registry"
install -m 0644 "$here/config.yml" "$root/etc/docker/registry/config.yml"
install -m 0755 "$here/entrypoint.sh" "$root/entrypoint.sh"
