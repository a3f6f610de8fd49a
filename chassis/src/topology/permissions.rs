use std::collections::BTreeSet;

use bonesetter_proto::Stage;

use super::{
    ADVISORY, AUDIT, AUDIT_ADVISORIES, BUCKETS, CONSUMERS, COPIES, ConsumerSpec, DETECTED, DLQ,
    ENRICHED, ExternalUser, REDRIVE, Role, STREAMS, User, consumers, kept_streams,
    ledger_consumers, redrive_of, stream_of,
};

/// What one user may publish and subscribe to; everything else is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects of the account that holds the streams, the JetStream API among them.
    pub publish: Vec<String>,
    /// Subjects of the account that holds the streams.
    pub subscribe: Vec<String>,
    /// Where answers come, in the account of the user.
    pub inbox: String,
}

/// The permissions of a user.
pub fn permissions(user: &User) -> Permissions {
    let mut permissions = Permissions {
        inbox: format!("{}.>", user.inbox_prefix()),
        ..Permissions::default()
    };
    match user.role {
        Role::Service { writes } => service(user, writes, &mut permissions),
        Role::Sweeper => sweeper(user, &mut permissions),
        Role::Archivist => archivist(user, &mut permissions),
        Role::Keeper => keeper(&mut permissions),
        Role::Provisioner => provisioner(&mut permissions),
        Role::Operator => operator(&mut permissions),
        Role::RawReader => permissions.publish.push(get(ENRICHED.name)),
        Role::Redriver => {
            operator(&mut permissions);
            permissions.publish.push(Stage::Redrive.filter());
        }
        Role::ExternalProvisioner => external_provisioner(&mut permissions),
    }
    permissions
}

fn service(user: &User, writes: &[Stage], permissions: &mut Permissions) {
    let publish = &mut permissions.publish;
    for stage in writes {
        publish.push(stage.filter());
        if let Some(stream) = stream_of(*stage) {
            // "Is the stored message mine", after a publish whose ack was lost.
            publish.push(get(stream.name));
        }
    }
    let is_own = |consumer: &&ConsumerSpec| consumer.user == user.name;
    if consumers().any(|consumer| is_own(&consumer)) {
        publish.push(Stage::Dlq.step_filter(user.name));
    }
    // A message that is to be handled again is fetched from where it is. Who buries what others
    // could not looks whether somebody has.
    let inputs = CONSUMERS.iter().filter(is_own);
    let mut read: BTreeSet<_> = inputs.map(|consumer| consumer.stream.name).collect();
    if read.contains(ADVISORY.name) {
        read.extend([DLQ.name, REDRIVE.name]);
    }
    for stream in read {
        if !publish.contains(&get(stream)) {
            publish.push(get(stream));
        }
    }
    for consumer in consumers().filter(is_own) {
        let path = format!("{}.{}", consumer.stream.name, consumer.name);
        publish.push(format!("$JS.API.CONSUMER.INFO.{path}"));
        publish.push(format!("$JS.API.CONSUMER.MSG.NEXT.{path}"));
        publish.extend(acks(&path));
    }
    for bucket in BUCKETS.iter().filter(|bucket| bucket.user == user.name) {
        let name = bucket.name;
        publish.push(get(&format!("KV_{name}")));
        publish.push(format!("$KV.{name}.>"));
    }
}

fn sweeper(user: &User, permissions: &mut Permissions) {
    service(user, &[Stage::Overdue], permissions);
    for consumer in ledger_consumers() {
        permissions.publish.push(info(consumer));
    }
    permissions.publish.push(get(DETECTED.name));
}

fn archivist(user: &User, permissions: &mut Permissions) {
    service(user, &[Stage::Audit], permissions);
    permissions.publish.push(state(AUDIT.name));
}

fn keeper(permissions: &mut Permissions) {
    // How full a stream is, also of those that nobody purges.
    for stream in STREAMS {
        permissions.publish.push(state(stream.name));
    }
    for stream in kept_streams() {
        let subject = format!("$JS.API.STREAM.PURGE.{}", stream.name);
        permissions.publish.push(subject);
    }
    for consumer in CONSUMERS {
        let is_kept = kept_streams().any(|stream| *stream == consumer.stream);
        // Who writes the dead letters that others could not.
        if is_kept || *consumer == AUDIT_ADVISORIES {
            permissions.publish.push(info(consumer));
            permissions.publish.extend(redrive_of(consumer).map(info));
        }
    }
    permissions
        .publish
        .extend([get(DLQ.name), get(REDRIVE.name)]);
}

/// Answering the deliveries of a consumer, `STREAM.NAME`, in the first form of the subject and in the second,
/// which newer servers use: domain and account stand before the stream. The domain must be the `_` of a
/// server without one: with a wildcard in its place the subject could begin with another consumer, as one of
/// the first form, and could pull from that.
pub(super) fn acks(path: &str) -> [String; 2] {
    [format!("$JS.ACK.{path}.>"), format!("$JS.ACK._.*.{path}.>")]
}

/// Asking how far a consumer is.
fn info(consumer: &ConsumerSpec) -> String {
    let (stream, name) = (consumer.stream.name, consumer.name);
    format!("$JS.API.CONSUMER.INFO.{stream}.{name}")
}

/// Asking how full a stream is, and what subjects it holds.
fn state(stream: &str) -> String {
    format!("$JS.API.STREAM.INFO.{stream}")
}

/// Getting stored messages of a stream, one at a time.
fn get(stream: &str) -> String {
    format!("$JS.API.STREAM.MSG.GET.{stream}")
}

fn provisioner(permissions: &mut Permissions) {
    permissions.publish.push("$JS.API.INFO".to_owned());
    // What is there that the table does not have.
    permissions.publish.push("$JS.API.STREAM.NAMES".to_owned());
    let streams = STREAMS.iter().map(|stream| stream.name.to_owned());
    let buckets = BUCKETS.iter().map(|bucket| format!("KV_{}", bucket.name));
    for name in streams.chain(buckets) {
        for verb in [
            "STREAM.CREATE",
            "STREAM.UPDATE",
            "STREAM.INFO",
            "CONSUMER.LIST",
        ] {
            permissions.publish.push(format!("$JS.API.{verb}.{name}"));
        }
    }
    for consumer in consumers() {
        let (stream, name, filter) = (consumer.stream.name, consumer.name, consumer.filter());
        let create = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}.{filter}");
        permissions.publish.extend([create, info(consumer)]);
    }
}

fn operator(permissions: &mut Permissions) {
    for stream in STREAMS.iter().filter(|stream| **stream != ENRICHED) {
        permissions.publish.push(get(stream.name));
        permissions.publish.push(state(stream.name));
        if let Some(stage) = stream.stage {
            permissions.subscribe.push(stage.filter());
        }
    }
}

/// Makes the copies. What it may make for tools depends on these; what is there and no tool's, it deletes.
fn external_provisioner(permissions: &mut Permissions) {
    permissions.publish.push("$JS.API.STREAM.NAMES".to_owned());
    for copy in COPIES {
        for verb in [
            "STREAM.CREATE",
            "STREAM.UPDATE",
            "STREAM.INFO",
            "CONSUMER.LIST",
        ] {
            let subject = format!("$JS.API.{verb}.{}", copy.name);
            permissions.publish.push(subject);
        }
        let delete = format!("$JS.API.CONSUMER.DELETE.{}.*", copy.name);
        permissions.publish.push(delete);
    }
}

/// The permissions of a user of ours in an installation with these tools.
pub fn permissions_with(user: &User, tools: &[ExternalUser]) -> Permissions {
    let mut permissions = permissions(user);
    if user.role == Role::ExternalProvisioner {
        let consumers = tools.iter().flat_map(ExternalUser::consumers);
        let creates = consumers.map(|consumer| consumer.create());
        permissions.publish.extend(creates);
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{StreamSpec, USERS, user};

    fn of(name: &str) -> Permissions {
        permissions(user(name).unwrap())
    }

    #[test]
    fn nobody_behind_the_boundary_can_name_the_raw_stream() {
        // Its writer, its readers, and who makes and purges it.
        let of_the_raw_stream = [
            "svc-enricher",
            "svc-redactor",
            "svc-redactor-replay",
            "provisioner",
            "keeper",
        ];
        let names = USERS.iter().map(|user| user.name);
        for name in names.filter(|name| !of_the_raw_stream.contains(name)) {
            let permissions = of(name);
            for subject in permissions.publish.iter().chain(&permissions.subscribe) {
                assert!(
                    !subject.contains("BONESETTER_ENRICHED"),
                    "{name}: {subject}"
                );
                assert!(!subject.contains("v1.enriched"), "{name}: {subject}");
                assert!(!subject.starts_with('>') && !subject.starts_with("bonesetter.v1.>"));
            }
        }
    }

    #[test]
    fn services_create_nothing_and_share_no_inbox() {
        for user in USERS {
            let permissions = permissions(user);
            assert_eq!(permissions.inbox, format!("_INBOX_{}.>", user.name));
            if matches!(user.role, Role::Service { .. }) {
                assert_eq!(permissions.subscribe, [""; 0], "{}", user.name);
                for subject in &permissions.publish {
                    assert!(!subject.contains("CREATE"), "{}: {subject}", user.name);
                }
            }
        }
    }

    /// The long form of the request, with the literal name and filter: no other consumer can be made.
    #[test]
    fn the_provisioner_makes_the_consumers_of_the_table_and_no_others() {
        let created: Vec<_> = of("provisioner")
            .publish
            .into_iter()
            .filter_map(|subject| {
                Some(subject.strip_prefix("$JS.API.CONSUMER.CREATE.")?.to_owned())
            })
            .collect();
        assert_eq!(created.len(), consumers().count());
        assert_eq!(
            created[0],
            "BONESETTER_DETECTED.enricher.bonesetter.v1.detected.>"
        );
        assert!(!created.iter().any(|path| path.starts_with("KV_")));
    }

    #[test]
    fn the_ledger_and_the_archive_job_share_nothing_on_the_bus() {
        let ledger = of("svc-audit");
        let archive = of("svc-audit-export");
        let common = |subject: &&String| ledger.publish.contains(subject);
        assert_eq!(archive.publish.iter().find(common), None);
        assert_eq!(
            archive.publish,
            [
                "bonesetter.v1.audit.>",
                "$JS.API.STREAM.MSG.GET.BONESETTER_AUDIT",
                "$JS.API.STREAM.INFO.BONESETTER_AUDIT"
            ]
        );
        let writes = |subject: &&String| subject.starts_with("bonesetter.");
        let written: Vec<_> = ledger.publish.iter().filter(writes).collect();
        assert_eq!(written, ["bonesetter.v1.dlq.*.*.*.*.svc-audit"]);
    }

    #[test]
    fn the_sweeper_reads_no_text_and_takes_nobodys_messages() {
        let sweeper = of("svc-audit-sweep").publish;
        let reads = |subject: &&String| subject.contains("MSG.GET");
        assert_eq!(
            sweeper.iter().filter(reads).collect::<Vec<_>>(),
            [
                "$JS.API.STREAM.MSG.GET.BONESETTER_OVERDUE",
                "$JS.API.STREAM.MSG.GET.BONESETTER_DETECTED"
            ]
        );
        for subject in &sweeper {
            let is_known = ["MSG.GET", "CONSUMER.INFO", "bonesetter.v1.overdue.>"]
                .iter()
                .any(|known| subject.contains(known));
            assert!(is_known && !subject.contains("MSG.NEXT"), "{subject}");
        }
    }

    #[test]
    fn the_keeper_purges_what_is_recorded_elsewhere_and_reads_no_message_of_a_stage() {
        let keeper = of("keeper").publish;
        let of_kind = |kind: &str| -> Vec<&str> {
            let prefix = format!("$JS.API.{kind}.");
            keeper
                .iter()
                .filter_map(|subject| subject.strip_prefix(&prefix))
                .collect()
        };
        assert_eq!(
            of_kind("STREAM.PURGE"),
            [
                "BONESETTER_DETECTED",
                "BONESETTER_ENRICHED",
                "BONESETTER_REDACTED",
                "BONESETTER_DIAGNOSED",
                "BONESETTER_ACTED",
                "BONESETTER_NOTIFIED",
                "BONESETTER_OVERDUE",
                "BONESETTER_SECURITY"
            ]
        );
        let streams: Vec<_> = STREAMS.iter().map(|stream| stream.name).collect();
        assert_eq!(of_kind("STREAM.INFO"), streams);
        assert_eq!(
            of_kind("STREAM.MSG.GET"),
            ["BONESETTER_DLQ", "BONESETTER_REDRIVE"]
        );
        let known = of_kind("STREAM").len() + of_kind("CONSUMER.INFO").len();
        assert_eq!(keeper.len(), known, "{keeper:?}");
    }

    /// Its answer is what is stored, byte for byte, and goes wherever the one who asks says: also to the API
    /// of JetStream, as a request that the server makes for somebody who may not.
    #[test]
    fn nobody_has_stored_bytes_sent_anywhere() {
        for user in USERS {
            let permissions = of(user.name).publish;
            assert!(!permissions.iter().any(|it| it.contains("DIRECT.")));
        }
    }

    #[test]
    fn the_operator_writes_nothing() {
        for subject in of("operator").publish {
            assert!(
                subject.starts_with("$JS.API.STREAM.MSG.GET.")
                    || subject.starts_with("$JS.API.STREAM.INFO."),
                "{subject}"
            );
        }
    }

    #[test]
    fn the_redriver_writes_decisions_about_dead_letters_and_nothing_else() {
        let more: Vec<_> = of("redriver")
            .publish
            .into_iter()
            .filter(|subject| !of("operator").publish.contains(subject))
            .collect();
        assert_eq!(more, ["bonesetter.v1.redrive.>"]);
    }

    #[test]
    fn who_replays_redaction_gets_sealed_messages_and_nothing_else() {
        let expected = ["$JS.API.STREAM.MSG.GET.BONESETTER_ENRICHED"];
        assert_eq!(of("svc-redactor-replay").publish, expected);
    }

    #[test]
    fn one_writer_per_stream() {
        let has_one = |stream: &&StreamSpec| ![DLQ, ADVISORY].contains(stream);
        for stream in STREAMS.iter().filter(has_one) {
            let writers: Vec<_> = USERS
                .iter()
                .filter(|user| permissions(user).publish.contains(&stream.filter()))
                .collect();
            assert_eq!(writers.len(), 1, "{}: {writers:?}", stream.name);
        }
    }
}
