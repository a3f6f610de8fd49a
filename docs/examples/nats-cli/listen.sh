#!/usr/bin/env bash
# Prints each diagnosis of a namespace when it is made: core NATS, JSON, nothing is kept for you.
set -euo pipefail

nats --inbox-prefix="_INBOX_external-$BONESETTER_TOOL" \
    sub --raw "bonesetter.v1.diagnosed-json.*.$BONESETTER_NAMESPACE.>" |
    jq --unbuffered -r '"\(.data.incident.id) \(.subject) \(.data.diagnosis.summary // "")"'
