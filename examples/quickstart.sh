#!/usr/bin/env bash
# Traffic through the mesh in one command: two instances of a sample service, the proxy in front of them, a few
# requests, and what the proxy counted. Everything it starts it ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release -p mesh-proxy -p sample-service
bin=${CARGO_TARGET_DIR:-target}/release

pids=()
trap 'kill -TERM "${pids[@]}" 2>/dev/null; wait' EXIT
"$bin/sample-service" --listen 127.0.0.1:4001 --name first & pids+=($!)
"$bin/sample-service" --listen 127.0.0.1:4002 --name second & pids+=($!)
"$bin/mesh-proxy" run --config examples/quickstart.yaml & pids+=($!)

for _ in $(seq 100); do
  curl -sf -o /dev/null http://127.0.0.1:9090/readyz && break
  sleep 0.1
done

printf '\nSix requests to the proxy, shared between the two instances:\n'
for _ in 1 2 3 4 5 6; do
  curl -s http://127.0.0.1:8080/
done

printf '\nThe same over HTTP/2, with what the proxy adds:\n'
curl -si --http2-prior-knowledge http://127.0.0.1:8080/ | tr -d '\r'

printf '\nA host that is no service, refused by the proxy:\n'
curl -s -H 'host: nowhere' http://127.0.0.1:8080/

printf '\nWhat it counted (http://127.0.0.1:9090/metrics):\n'
curl -s http://127.0.0.1:9090/metrics | grep '^service_mesh_requests_total' | grep -v ' 0$'
