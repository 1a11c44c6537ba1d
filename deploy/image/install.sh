#!/bin/sh
# Installs podwire-cni on the node: install.sh FILE FOLDER. Written beside its place and renamed over it, so that a
# runtime never runs half a file, and a call that is running keeps the old one.
set -eu
file=$1 folder=$2
new=$folder/.podwire-cni.$$
trap 'rm -f "$new"' EXIT
cp "$file" "$new"
chmod 0755 "$new"
mv -f "$new" "$folder/podwire-cni"
echo "podwire-cni is installed in $folder"
