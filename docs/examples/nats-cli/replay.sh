#!/usr/bin/env bash
# Prints every diagnosis of a namespace that is kept and was not printed before: JSON, each acknowledged.
set -euo pipefail

stream=EXTERNAL_DIAGNOSED_JSON
consumer=${BONESETTER_TOOL}_$BONESETTER_NAMESPACE
filter="bonesetter.v1.diagnosed-json.*.$BONESETTER_NAMESPACE.>"
bus() { nats --inbox-prefix="_INBOX_external-$BONESETTER_TOOL" "$@"; }

# Makes the consumer the first time; after that it says what the consumer has not delivered yet.
# (`nats consumer add` asks for the whole stream first, which a tool may not see.)
answer=$(bus request --raw "\$JS.API.CONSUMER.CREATE.$stream.$consumer.$filter" '{
    "stream_name": "'"$stream"'",
    "config": {
        "durable_name": "'"$consumer"'", "filter_subject": "'"$filter"'",
        "deliver_policy": "all", "ack_policy": "explicit"
    }
}')
waiting=$(jq '.num_pending // empty' <<< "$answer")
if [ -z "$waiting" ]; then
    echo "no consumer $consumer: ${answer:-no answer, see above}" >&2
    exit 1
fi

# The command acknowledges what it has printed.
[ "$waiting" -eq 0 ] || bus consumer next --raw --ack --count="$waiting" "$stream" "$consumer" |
    jq -r '"\(.data.incident.id) \(.subject) \(.data.diagnosis.summary // "")"'
