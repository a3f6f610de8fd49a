#!/usr/bin/env bash
# Prints the Secrets and the ConfigMap that hold the keys, each service's own and no others:
#
#   bonesetter keys init KEYS
#   deploy/kubernetes/secrets.sh KEYS | kubectl apply --server-side --filename -
#
# Keys stay in KEYS, which belongs into a vault and not into the cluster; the nkeys of the
# provisioner, the operator, the redriver and of who replays redaction are not printed.
set -euo pipefail

if [[ $# != 1 || ! -d $1 ]]; then
    echo "usage: $0 KEYS, a directory that 'bonesetter keys init KEYS' filled" >&2
    exit 2
fi
keys=$1

print() {
    echo ---
    kubectl create --namespace bonesetter-system --dry-run=client --output yaml "$@"
}

# secret NAME NATS-USER KEY=FILE...: files are relative to KEYS.
secret() {
    local name=$1 user=$2 files=()
    shift 2
    for file in "nats.nk=nats/$user.nk" "$@"; do
        files+=("--from-file=${file%%=*}=$keys/${file#*=}")
    done
    print secret generic "$name" "${files[@]}"
}

evidence=evidence.key=evidence.key
digest=digest.key=digest.key

secret svc-watcher-keys svc-watcher signing.key=signing/svc-watcher.key
secret svc-enricher-keys svc-enricher "$evidence" "$digest"
secret svc-redactor-keys svc-redactor signing.key=signing/svc-redactor.key "$evidence" "$digest"
secret svc-llm-keys svc-llm signing.key=signing/svc-llm.key
secret svc-actuator-keys svc-actuator signing.key=signing/svc-actuator.key "$digest" inverse.key=inverse.key
secret svc-notifier-keys svc-notifier webhook.key=webhook.key
secret svc-notifier-publish-keys svc-notifier-publish signing.key=signing/svc-notifier-publish.key
secret svc-audit-keys svc-audit
secret svc-audit-export-keys svc-audit-export
secret svc-audit-sweep-keys svc-audit-sweep signing.key=signing/svc-audit-sweep.key
secret keeper-keys keeper
print configmap bonesetter-trusted --from-file="$keys/trusted"
