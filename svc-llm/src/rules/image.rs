//! Images that cannot be pulled.

use bonesetter_proto::v1::Citation;

use super::finding::{Finding, Group};
use crate::case::{Case, Container, cite_text, head};
use crate::remedy::blame;

const WAITING: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// Why an image cannot be had, by the texts of container runtimes and registries. The first that
/// fits wins: "pull access denied" also says that the repository may not exist.
const WHY: [(&[&str], &str, &str); 9] = [
    (
        &["pull policy of Never", "ErrImageNeverPull"],
        "it is not on the node and the pull policy is Never",
        "Load the image onto the node, correct its name, or allow pulling.",
    ),
    (
        &[
            "invalid reference format",
            "couldn't parse image",
            "InvalidImageName",
        ],
        "its name is not a valid image reference",
        "Correct the name: lower case, no blanks, at most one tag.",
    ),
    (
        &["toomanyrequests", "rate limit"],
        "the registry limits the rate of pulls",
        "Pull with credentials or through a mirror; it recovers by itself when the limit resets.",
    ),
    (
        &["no match for platform", "no matching manifest"],
        "it does not exist for the processor architecture of the node",
        "Build the image for that architecture as well.",
    ),
    (
        &[
            "unauthorized",
            "authorization failed",
            "pull access denied",
            "authentication required",
            "no basic auth",
            "403 Forbidden",
            "401 Unauthorized",
            "denied:",
        ],
        "the registry refuses access (or hides that the repository does not exist)",
        "Check the name of the repository, and that imagePullSecrets hold valid credentials for this registry.",
    ),
    (
        &[
            "not found",
            "manifest unknown",
            "does not exist",
            "name unknown",
        ],
        "the registry has no such image or tag",
        "Correct the name or the tag, or push the image.",
    ),
    (
        &[
            "x509:",
            "certificate",
            "server gave HTTP response to HTTPS client",
        ],
        "the registry's TLS certificate is refused",
        "Make the node trust the registry's certificate authority.",
    ),
    (
        &[
            "no such host",
            "dial tcp",
            "i/o timeout",
            "connection refused",
            "network is unreachable",
            "context deadline exceeded",
            "server misbehaving",
            "EOF",
            "503 Service",
        ],
        "the registry cannot be reached",
        "Check the registry's name, DNS and network of the node; if the registry is right, it recovers by itself.",
    ),
    (
        &["no space left on device"],
        "the disk of the node is full",
        "Free space on the node.",
    ),
];

/// A container waits for an image that cannot be pulled.
pub(crate) fn image_pull(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let (reason, message) = container
        .waiting()
        .filter(|(reason, _)| WAITING.contains(reason))?;
    let image = container.text("/image").unwrap_or("?");
    let (citation, text) = told(case, container, reason, message, image);
    let why = WHY.iter().find(|(texts, ..)| {
        texts
            .iter()
            .any(|known| text.contains(known) || reason == *known)
    });
    let (says, advice) = why.map_or(
        (
            "the reason is not told",
            "Look at the events of the pod for the registry's answer.",
        ),
        |(_, says, advice)| (*says, *advice),
    );
    let fields = ["/image", "/imagePullPolicy", "/spec/imagePullSecrets"];
    let since_rollout = blame(case, container, &fields);
    let cause = match since_rollout {
        Some(_) => "image-pull-after-rollout",
        None => "image-cannot-be-pulled",
    };
    let name = container.name;
    let finding = Finding::new(
        cause,
        Group::Platform,
        format!(
            "{}: the image {image} of container {name} cannot be pulled: {says}.",
            case.subject()
        ),
    )
    .because(format!(
        "Container {name} waits with {reason}: the image {image} cannot be pulled, because {says}."
    ))
    .advise(advice)
    .fits(0.85)
    .fits_if(0.4, why.is_some())
    .cite(citation)
    .cite(container.cite_status("/state/waiting/reason"))
    .cite(container.cite("/image"));
    Some(match since_rollout {
        Some(blame) => finding.blamed_on(case, container, &blame),
        None => finding,
    })
}

/// Where the reason is told best: back-off messages repeat it only in newer versions of Kubernetes.
fn told(
    case: &Case<'_>,
    container: &Container<'_>,
    reason: &str,
    message: &str,
    image: &str,
) -> (Option<Citation>, String) {
    let explains = |text: &str| {
        WHY.iter()
            .any(|(known, ..)| known.iter().any(|known| text.contains(known)))
    };
    let reasons = [
        "Failed",
        "ErrImageNeverPull",
        "InspectFailed",
        "FailedToInspectImage",
        "BackOff",
    ];
    if explains(message) || reason == "InvalidImageName" {
        return (
            container.cite_status("/state/waiting/message"),
            message.to_owned(),
        );
    }
    let of_image = |text: &str| text.contains(image) || text.contains("image");
    match case.event(&reasons, |text| of_image(text) && explains(text)) {
        Some(event) => {
            let text = event.item.message.as_str();
            (
                Some(cite_text(event.id, text)),
                head(text, 2_000).to_owned(),
            )
        }
        None => (
            container.cite_status("/state/waiting/message"),
            message.to_owned(),
        ),
    }
}
