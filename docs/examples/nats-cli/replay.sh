#!/usr/bin/env bash
# Prints every diagnosis of a namespace that is kept and was not printed before: JSON, each acknowledged.
set -euo pipefail

stream=EXTERNAL_DIAGNOSED_JSON
consumer=${BONESETTER_TOOL}_$BONESETTER_NAMESPACE
bus() { nats --inbox-prefix="_INBOX_external-$BONESETTER_TOOL" "$@"; }

answer=$(bus request --raw "\$JS.API.CONSUMER.INFO.$stream.$consumer" '')
waiting=$(jq '.num_pending // empty' <<< "$answer")
if [ -z "$waiting" ]; then
    echo "no consumer $consumer: ${answer:-no answer, see above}" >&2
    exit 1
fi

# The command acknowledges what it has printed.
[ "$waiting" -eq 0 ] || bus consumer next --raw --ack --count="$waiting" "$stream" "$consumer" |
    jq -r '"\(.data.incident.id) \(.subject) \(.data.diagnosis.summary // "")"'
