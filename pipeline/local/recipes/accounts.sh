#!/bin/sh
# For roots that were only unpacked: no maintainer script has made users or links. $1 is the root, $2 "name:uid:home".
set -eu
root=$1 name=${2%%:*} rest=${2#*:}
uid=${rest%%:*} home=${rest#*:}
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n%s:x:%s:%s::%s:/bin/sh\n' \
    "$name" "$uid" "$uid" "$home" > "$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n%s:x:%s:\n' "$name" "$uid" > "$root/etc/group"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
mkdir -p "$root/root" "$root/usr/local/bin"
[ -e "$root/usr/bin/sh" ] || ln -s dash "$root/usr/bin/sh"
