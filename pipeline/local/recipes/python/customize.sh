#!/bin/sh
# $1 is the new root. The official image has its interpreter in /usr/local/bin, and so do the virtual environments made there.
set -eu
root=$1
ln -sf /usr/bin/python3 "$root/usr/local/bin/python3"
ln -sf /usr/bin/python3 "$root/usr/local/bin/python"
