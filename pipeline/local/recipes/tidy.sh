#!/bin/sh
# Runs for every stand-in, outside the new root: $1 is the root. Takes away what belongs to the host or to one run only.
set -eu
root=$1
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/etc/machine-id" "$root/etc/fstab" \
    "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/apt/apt.conf.d/99mmdebstrap" \
    "$root/var/lib/dpkg/status-old" "$root/var/lib/dpkg/diversions-old" "$root/var/cache/ldconfig/aux-cache"
rm -rf "$root/var/log" "$root/var/cache/apt" "$root/var/lib/apt/lists" "$root/usr/share/man" \
    "$root/usr/share/info" "$root/usr/share/locale" "$root/usr/share/lintian" "$root/usr/share/bug"
mkdir -p "$root/var/log" "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial" \
    "$root/tmp" "$root/run" "$root/proc" "$root/sys"
chmod 1777 "$root/tmp"
find "$root/usr/share/doc" -type f ! -name copyright -delete 2>/dev/null || true
find "$root/usr/share/doc" -type d -empty -delete 2>/dev/null || true
