#!/bin/sh
# Forgets what belongs to namespaces that are gone, every SECONDS (default 300), until it is told to stop.
set -eu
seconds=${1:-300}
trap 'exit 0' TERM INT
while :; do
    podwire gc || echo "podwire gc ended with status $?; it is tried again in $seconds s" >&2
    sleep "$seconds" &
    wait $!
done
