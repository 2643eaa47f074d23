#!/bin/sh
# For roots that were only unpacked: writes the package database that SBOM tools and scanners read. $1 is the root,
# $2 the database of the image below, if any.
set -eu
root=$1 status=$1/var/lib/dpkg/status
if [ $# -gt 1 ]; then cp "$2" "$status"; else : > "$status"; fi
for package in "$root"/var/cache/apt/archives/*.deb; do
    printf '\n' >> "$status"
    dpkg-deb --field "$package" | sed '/^Package:/a Status: install ok installed' >> "$status"
done
