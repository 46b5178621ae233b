#!/usr/bin/env bash
# Sends a command, reads a lane and watches another one, by HTTP: client.sh [HOST:PORT] [SEQUENCE]
set -euo pipefail
at=http://${1:-localhost:7777}
sequence=${2:-1}
# With a sequence it is the key of a command. It stays the same from run to run; another program has another one.
client=example-http
flight='{"carrier": "UA", "flight": 1545, "tailnum": "N24211", "origin": "JFK", "dest": "IAH", "distance": 1416,
         "month": 1, "day": 1, "sched_dep_time": 529, "dep_time": 546, "dep_delay": 17}'
body=$(mktemp)
trap 'rm -f "$body"' EXIT

# Makes a request until it is answered. `status` and `etag` are the answer's, and the file $body has its text.
ask() {
    local answer after
    while true; do
        answer=$(curl --silent --show-error --max-time 10 --output "$body" \
            --write-out '%{http_code} %header{retry-after}; %header{etag}' "$@") || answer='lost ;'
        read -r status after <<<"${answer%%;*}"
        etag=${answer#*; }
        case $status in
        2?? | 304) return ;;
        lost | 408 | 429 | 502 | 503 | 504) echo "again soon: $status" ;;
        *)
            echo "$status: $(cat "$body")" >&2 # final
            exit 1
            ;;
        esac
        # Clients that have lost the same node do not all come at once.
        sleep "${after:-0}.$((RANDOM % 9 + 1))"
    done
}

# By its key the command has one effect, however often it is sent.
ask --json "$flight" --header "Shoal-Client: $client" --header "Shoal-Sequence: $sequence" \
    "$at/airport/JFK?lane=departed"
echo "sent: $(cat "$body")"

# Everything that was acknowledged before is in what is read.
ask "$at/airport/JFK?lane=late"
echo "late: $(cat "$body")"

# HTTP has no watch: it asks every second. What has the same ETag as the last answer is answered 304, without a body.
last=
while true; do
    ask --header "If-None-Match: $last" "$at/carrier/UA?lane=from"
    [ "$status" = 304 ] || echo "from: $(cat "$body")"
    last=$etag
    sleep 1
done
