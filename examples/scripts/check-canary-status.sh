#!/usr/bin/env bash
# Shows how the rollout of a service stands: check-canary-status.sh SERVICE [--watch, --json]
# ADMIN is the admin API of the proxy (default http://127.0.0.1:9091), MESH_PROXY its program (default mesh-proxy).
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 SERVICE, as $0 sample-service" >&2; exit 2; }
service=$1
shift
exec "${MESH_PROXY:-mesh-proxy}" canary status "$service" --admin "${ADMIN:-http://127.0.0.1:9091}" "$@"
