#!/bin/sh
# As in the official image: arguments that begin with "-" go to haproxy, which runs as master (-W) in the foreground (-db).
set -eu
case "${1:-}" in '' | -*) set -- haproxy "$@" ;; esac
if [ "$1" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
