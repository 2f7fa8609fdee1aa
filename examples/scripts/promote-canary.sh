#!/usr/bin/env bash
# Has the present stage of a rollout followed by the next: promote-canary.sh SERVICE [more of mesh-proxy canary promote]
# ADMIN is the admin API of the proxy (default http://127.0.0.1:9091), MESH_PROXY its program (default mesh-proxy).
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 SERVICE, as $0 sample-service" >&2; exit 2; }
service=$1
shift
exec "${MESH_PROXY:-mesh-proxy}" canary promote "$service" --admin "${ADMIN:-http://127.0.0.1:9091}" "$@"
