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

# Makes a request until it is answered. The file $body has the text of the answer.
ask() {
    local answer status after
    while true; do
        answer=$(curl --silent --show-error --max-time 10 --output "$body" \
            --write-out '%{http_code} %header{retry-after}' "$@") || answer=lost
        read -r status after <<<"$answer"
        case $status in
        2??) return ;;
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

# The state of a Map lane: each key and value as its JSON. The token is the last id that has come, and stands for all of
# the lane up to it, unless it is 0.
declare -A state
token=

# Changes the state as an event says, and shows it when everything up to the event's id has come.
fold() {
    local name=$1 data=$2 id=$3 key text='"([^"\]|\\.)*"'
    case $name in
    update) [[ $data =~ ^\{\"key\":($text),\"value\":(.*)\}$ ]] && state[${BASH_REMATCH[1]}]=${BASH_REMATCH[3]} ;;
    remove)
        key=${data#'{"key":'}
        key=${key%\}}
        unset 'state[$key]'
        ;;
    clear) state=() ;;
    reset) # all of it follows
        state=()
        echo reset
        ;;
    closed) echo "closed by its node: $data" ;;
    esac
    [ "${id:-0}" = 0 ] || echo "from: $(show)"
}

show() {
    local key all=
    for key in "${!state[@]}"; do all+=,$key:${state[$key]}; done
    echo "{${all#,}}"
}

# Watches the lane from the token on, until the stream ends.
watch() {
    local line name= data= id=
    while IFS= read -r line; do
        case $line in
        'event: '*) name=${line#event: } ;;
        'data: '*) data=${line#data: } ;;
        'id: '*) id=${line#id: } ;;
        '') # the event is whole
            token=${id:-$token}
            fold "$name" "$data" "$id"
            name= data= id=
            ;;
        esac
    done < <(curl --no-buffer --silent --header 'Accept: text/event-stream' \
        ${token:+--header "Last-Event-ID: $token"} "$1")
}

while true; do
    watch "$at/carrier/UA?lane=from"
    echo "the watch ended after ${token:-nothing}"
    # The stream may have been refused: whether it is for good, a read of the lane says.
    ask "$at/carrier/UA?lane=from"
done
