//! How the parts of Kubernetes objects are treated. What is not in a table is free text.

use serde_json::Value;

use crate::lexicon::{Naming, classify};

/// The treatment of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A mapping with known members.
    Fields(&'static str, &'static [(&'static str, &'static Shape)]),
    /// Every item of a list or member of a mapping.
    Each(&'static Shape),
    /// Left out: says nothing and may hold anything.
    Drop,
    /// Every string, whatever it is, with a place for the report and a kind.
    Secret(&'static str, &'static str),
    /// A name of this kind, remembered for other texts.
    Name(&'static str),
    /// Withheld with this reason; keys stay.
    Withhold(&'static str),
    /// `{name, value | valueFrom}`.
    EnvVar,
    /// `{name, value}` of an HTTP header.
    Header,
    /// A command or its arguments.
    Arguments,
    Annotations,
    /// A mapping that refers to an object by kind and name.
    Reference,
    PodSpec,
    Volume,
    VolumeMount,
    /// A whole object of any kind.
    Object,
}

use Shape::{
    Annotations, Arguments, Drop, Each, EnvVar, Fields, Header, Name, Object, PodSpec, Reference,
    Secret, Volume, VolumeMount, Withhold,
};

pub(crate) static METADATA: Shape = Fields(
    "metadata",
    &[
        ("managedFields", &Drop),
        ("annotations", &Annotations),
        ("ownerReferences", &Each(&Reference)),
    ],
);

static SECRET_METADATA: Shape = Fields(
    "metadata",
    &[
        ("name", &Name("secret-name")),
        ("managedFields", &Drop),
        ("annotations", &Withhold("secret-annotations")),
    ],
);
static CONFIG_METADATA: Shape = Fields(
    "metadata",
    &[
        ("name", &Name("configmap-name")),
        ("managedFields", &Drop),
        ("annotations", &Withhold("configmap-annotations")),
    ],
);

static NAMED_SECRET: Shape = Fields("imagePullSecrets", &[("name", &Name("secret-name"))]);
static SECRET_REF: Shape = Fields(
    "reference",
    &[
        ("name", &Name("secret-name")),
        ("key", &Name("key-name")),
        ("secretName", &Name("secret-name")),
    ],
);
static CONFIG_REF: Shape = Fields(
    "reference",
    &[
        ("name", &Name("configmap-name")),
        ("key", &Name("key-name")),
    ],
);

/// The members of `valueFrom` that keep their form; of every other source only the kind is kept.
pub(crate) static VALUE_FROM: Shape = Fields(
    "valueFrom",
    &[
        ("secretKeyRef", &SECRET_REF),
        ("configMapKeyRef", &CONFIG_REF),
    ],
);

static ENV_FROM: Shape = Fields(
    "envFrom",
    &[("secretRef", &SECRET_REF), ("configMapRef", &CONFIG_REF)],
);

static EXEC: Shape = Fields("exec", &[("command", &Arguments)]);
static HTTP_GET: Shape = Fields("httpGet", &[("httpHeaders", &Each(&Header))]);
static HANDLER: Shape = Fields("probe", &[("exec", &EXEC), ("httpGet", &HTTP_GET)]);
static LIFECYCLE: Shape = Fields(
    "lifecycle",
    &[("postStart", &HANDLER), ("preStop", &HANDLER)],
);

pub(crate) static CONTAINER: Shape = Fields(
    "container",
    &[
        ("env", &Each(&EnvVar)),
        ("envFrom", &Each(&ENV_FROM)),
        ("command", &Arguments),
        ("args", &Arguments),
        ("volumeMounts", &Each(&VolumeMount)),
        ("volumeDevices", &Each(&VolumeMount)),
        ("livenessProbe", &HANDLER),
        ("readinessProbe", &HANDLER),
        ("startupProbe", &HANDLER),
        ("lifecycle", &LIFECYCLE),
    ],
);

pub(crate) static POD_SPEC: Shape = Fields(
    "spec",
    &[
        ("containers", &Each(&CONTAINER)),
        ("initContainers", &Each(&CONTAINER)),
        ("ephemeralContainers", &Each(&CONTAINER)),
        ("imagePullSecrets", &Each(&NAMED_SECRET)),
        ("volumes", &Each(&Volume)),
    ],
);

static ITEM: Shape = Fields(
    "volumes",
    &[
        ("key", &Name("key-name")),
        ("path", &Secret("volumes", "path")),
    ],
);
static SECRET_VOLUME: Shape = Fields(
    "volumes",
    &[
        ("secretName", &Name("secret-name")),
        ("name", &Name("secret-name")),
        ("items", &Each(&ITEM)),
    ],
);
static CONFIG_VOLUME: Shape = Fields(
    "volumes",
    &[("name", &Name("configmap-name")), ("items", &Each(&ITEM))],
);
static PROJECTION: Shape = Fields(
    "volumes",
    &[("secret", &SECRET_VOLUME), ("configMap", &CONFIG_VOLUME)],
);
static PROJECTED: Shape = Fields("volumes", &[("sources", &Each(&PROJECTION))]);
static CSI: Shape = Fields(
    "volumes",
    &[
        ("nodePublishSecretRef", &SECRET_REF),
        ("nodeStageSecretRef", &SECRET_REF),
        ("controllerExpandSecretRef", &SECRET_REF),
        ("volumeAttributes", &Secret("volumes", "secret")),
        ("volumeHandle", &Secret("volumes", "name")),
    ],
);
static SECRET_OWNER: Shape = Fields(
    "volumes",
    &[
        ("secretRef", &SECRET_REF),
        ("secretName", &Name("secret-name")),
        ("options", &Secret("volumes", "secret")),
    ],
);

/// The sources of a volume whose name and mount path are taken out.
pub(crate) static SECRET_SOURCES: &[(&str, &Shape)] = &[
    ("secret", &SECRET_VOLUME),
    ("configMap", &CONFIG_VOLUME),
    ("projected", &PROJECTED),
    ("csi", &CSI),
];

/// Other sources that may refer to a Secret.
pub(crate) static OTHER_SOURCES: &[(&str, &Shape)] = &[
    ("azureFile", &SECRET_OWNER),
    ("cephfs", &SECRET_OWNER),
    ("cinder", &SECRET_OWNER),
    ("flexVolume", &SECRET_OWNER),
    ("iscsi", &SECRET_OWNER),
    ("rbd", &SECRET_OWNER),
    ("scaleIO", &SECRET_OWNER),
    ("storageos", &SECRET_OWNER),
];

/// The sources of a persistent volume that may refer to a Secret.
static VOLUME_SOURCES: &[(&str, &Shape)] = &[
    ("csi", &CSI),
    ("azureFile", &SECRET_OWNER),
    ("cephfs", &SECRET_OWNER),
    ("flexVolume", &SECRET_OWNER),
    ("iscsi", &SECRET_OWNER),
    ("rbd", &SECRET_OWNER),
    ("scaleIO", &SECRET_OWNER),
];

/// Members that refer to a Secret or a ConfigMap, in kinds that have no table.
pub(crate) fn of_member(key: &str, value: &Value) -> Option<&'static Shape> {
    let name = key.to_ascii_lowercase();
    let ends_in = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match value {
        Value::String(_)
            if ends_in(&["secretname", "secret-name", "secretref", "existingsecret"]) =>
        {
            Some(&SECRET_NAME)
        }
        Value::String(_) if key == "configMapName" => Some(&CONFIG_NAME),
        Value::String(_) if key == "caBundle" => Some(&CA_BUNDLE),
        Value::Object(_) if matches!(key, "configMapRef" | "configMapKeyRef") => Some(&CONFIG_REF),
        Value::Object(_) if refers_to_secret(&name, key, value) => Some(&SECRET_REF),
        Value::Array(_) if matches!(key, "imagePullSecrets" | "certificateRefs") => {
            Some(&NAMED_SECRETS)
        }
        _ => None,
    }
}

/// `passwordSecret: {name: x}`, and `password: {name: x, key: y}`.
fn refers_to_secret(lower: &str, key: &str, value: &Value) -> bool {
    let is_named = value["name"].is_string();
    let is_called = lower.contains("secret") || lower.contains("credential");
    matches!(key, "secretRef" | "secretKeyRef")
        || is_named && is_called
        || is_named && value["key"].is_string() && classify(key) >= Naming::Strong
}

/// Whether a mapping without a table is `{kind: Secret, name: ...}`.
pub(crate) fn is_reference(value: &Value) -> bool {
    matches!(value["kind"].as_str(), Some("Secret" | "ConfigMap")) && value["name"].is_string()
}

static SECRET_NAME: Shape = Name("secret-name");
static NAMED_SECRETS: Shape = Each(&NAMED_SECRET);
static CONFIG_NAME: Shape = Name("configmap-name");
static CA_BUNDLE: Shape = Withhold("ca-bundle");

static TEMPLATE: Shape = Fields("template", &[("metadata", &METADATA), ("spec", &PodSpec)]);
static TEMPLATED_SPEC: Shape = Fields("spec", &[("template", &TEMPLATE)]);
static TEMPLATED: Shape = Fields(
    "object",
    &[("metadata", &METADATA), ("spec", &TEMPLATED_SPEC)],
);
static JOB_TEMPLATE: Shape = Fields(
    "jobTemplate",
    &[("metadata", &METADATA), ("spec", &TEMPLATED_SPEC)],
);
static CRON_JOB_SPEC: Shape = Fields("spec", &[("jobTemplate", &JOB_TEMPLATE)]);
static CRON_JOB: Shape = Fields(
    "object",
    &[("metadata", &METADATA), ("spec", &CRON_JOB_SPEC)],
);
static POD: Shape = Fields("object", &[("metadata", &METADATA), ("spec", &PodSpec)]);
static EVENT: Shape = Fields(
    "event",
    &[
        ("metadata", &METADATA),
        ("involvedObject", &Reference),
        ("regarding", &Reference),
        ("related", &Reference),
    ],
);
static SECRET: Shape = Fields(
    "secret",
    &[
        ("metadata", &SECRET_METADATA),
        ("data", &Secret("secret-data", "secret")),
        ("stringData", &Secret("secret-data", "secret")),
    ],
);
static CONFIG_MAP: Shape = Fields(
    "configmap",
    &[
        ("metadata", &CONFIG_METADATA),
        ("data", &Withhold("configmap-data")),
        ("binaryData", &Withhold("configmap-data")),
    ],
);
static SERVICE_ACCOUNT: Shape = Fields(
    "object",
    &[
        ("metadata", &METADATA),
        ("secrets", &Each(&NAMED_SECRET)),
        ("imagePullSecrets", &Each(&NAMED_SECRET)),
    ],
);
static CLIENT_CONFIG: Shape = Fields("webhook", &[("caBundle", &Withhold("ca-bundle"))]);
static WEBHOOK: Shape = Fields("webhook", &[("clientConfig", &CLIENT_CONFIG)]);
static CONVERSION: Shape = Fields("webhook", &[("webhook", &WEBHOOK)]);
/// Of an `APIService`, and of a `CustomResourceDefinition` in its versions.
static EXTENSION_SPEC: Shape = Fields(
    "webhook",
    &[
        ("caBundle", &Withhold("ca-bundle")),
        ("conversion", &CONVERSION),
    ],
);
static WEBHOOKS: Shape = Fields(
    "object",
    &[("metadata", &METADATA), ("webhooks", &Each(&WEBHOOK))],
);
static EXTENSION: Shape = Fields(
    "object",
    &[("metadata", &METADATA), ("spec", &EXTENSION_SPEC)],
);
static VOLUME_SPEC: Shape = Fields("volumes", VOLUME_SOURCES);
static PERSISTENT_VOLUME: Shape =
    Fields("object", &[("metadata", &METADATA), ("spec", &VOLUME_SPEC)]);
static TLS: Shape = Fields("ingress", &[("secretName", &Name("secret-name"))]);
static INGRESS_SPEC: Shape = Fields("spec", &[("tls", &Each(&TLS))]);
static INGRESS: Shape = Fields(
    "object",
    &[("metadata", &METADATA), ("spec", &INGRESS_SPEC)],
);
static LIST: Shape = Fields("list", &[("items", &Each(&Object))]);
static OTHER: Shape = Fields(
    "object",
    &[
        ("metadata", &METADATA),
        ("caBundle", &Withhold("ca-bundle")),
    ],
);

/// Of other groups of the API.
static SECRET_LIKE: Shape = Fields(
    "object",
    &[
        ("metadata", &METADATA),
        ("data", &Secret("object", "secret")),
        ("stringData", &Secret("object", "secret")),
    ],
);

/// Of the External Secrets Operator: it names the Secret that it writes.
static EXTERNAL_SECRET: Shape = Fields(
    "object",
    &[("metadata", &METADATA), ("spec", &EXTERNAL_SECRET_SPEC)],
);
static EXTERNAL_SECRET_SPEC: Shape = Fields("spec", &[("target", &NAMED_SECRET)]);

/// The table of a kind. Kinds without one have their metadata walked and are free text otherwise.
pub(crate) fn of_kind(kind: &str) -> &'static Shape {
    match kind {
        "Pod" => &POD,
        "Deployment"
        | "ReplicaSet"
        | "StatefulSet"
        | "DaemonSet"
        | "Job"
        | "ReplicationController" => &TEMPLATED,
        "PodTemplate" => &PODTEMPLATE,
        "ControllerRevision" => &REVISION,
        "CronJob" => &CRON_JOB,
        "Event" => &EVENT,
        "Secret" => &SECRET,
        "ConfigMap" => &CONFIG_MAP,
        "ServiceAccount" => &SERVICE_ACCOUNT,
        "Ingress" => &INGRESS,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => &WEBHOOKS,
        "CustomResourceDefinition" | "APIService" => &EXTENSION,
        "PersistentVolume" => &PERSISTENT_VOLUME,
        "ExternalSecret" => &EXTERNAL_SECRET,
        _ if kind.ends_with("List") => &LIST,
        _ if kind.ends_with("Secret") => &SECRET_LIKE,
        _ => &OTHER,
    }
}

static PODTEMPLATE: Shape = Fields(
    "object",
    &[("metadata", &METADATA), ("template", &TEMPLATE)],
);
static REVISION: Shape = Fields("object", &[("metadata", &METADATA), ("data", &TEMPLATED)]);
