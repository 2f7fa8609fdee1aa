#!/usr/bin/env bash
# Rolls a new version of a service out: deploy-canary.sh SERVICE VERSION [more of mesh-proxy canary start]
# ADMIN is the admin API of the proxy (default http://127.0.0.1:9091), MESH_PROXY its program (default mesh-proxy).
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 SERVICE VERSION, as $0 sample-service v2.0.0" >&2; exit 2; }
service=$1 version=$2
shift 2
exec "${MESH_PROXY:-mesh-proxy}" canary start "$service" --version "$version" --admin "${ADMIN:-http://127.0.0.1:9091}" "$@"
