#!/bin/sh
# $1 is the new root. The LLVM just-in-time compiler is half of PostgreSQL's size and of no use to short tests.
set -eu
root=$1 here=$(dirname "$0")
sh "$here/../accounts.sh" "$root" postgres:999:/var/lib/postgresql
bin=$(cd "$root/usr/lib/postgresql" && ls -d */bin)
rm -rf "$root"/usr/lib/*/libLLVM* "$root"/usr/lib/llvm-* "$root"/usr/lib/postgresql/*/lib/bitcode \
    "$root"/usr/lib/postgresql/*/lib/llvmjit.so "$root"/usr/lib/*/libz3.so* "$root"/usr/lib/*/perl* "$root"/usr/share/perl* \
    "$root"/usr/lib/python3* "$root"/etc/postgresql*
for program in "$root/usr/lib/postgresql/$bin"/*; do
    ln -sf "../../lib/postgresql/$bin/${program##*/}" "$root/usr/local/bin/${program##*/}"
    ln -sf "../../lib/postgresql/$bin/${program##*/}" "$root/usr/bin/${program##*/}"
done
mkdir -p "$root/docker-entrypoint-initdb.d" "$root/var/run/postgresql" "$root/var/lib/postgresql/data"
chown 999:999 "$root/var/lib/postgresql" "$root/var/lib/postgresql/data" "$root/var/run/postgresql"
chmod 3775 "$root/var/run/postgresql"
chmod 1777 "$root/var/lib/postgresql/data"
install -m 0755 "$here/docker-entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"
