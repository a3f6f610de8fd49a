//! What goes over the wire: signatures, encodings, and the little XML that is read.

use super::{Access, Version};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use std::time::SystemTime;

pub(super) fn sign_headers(
    access: &Access,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    service: &str,
) -> Result<Vec<(String, String)>, String> {
    let identity = Credentials::new(
        &access.access_key_id,
        &access.secret_access_key,
        access.session_token.clone(),
        None,
        "testbed",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    #[expect(
        clippy::disallowed_methods,
        reason = "a signature is only valid near the server's own time"
    )]
    let now = SystemTime::now();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&access.region)
        .name(service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let request = SignableRequest::new(
        method,
        url,
        headers.iter().copied(),
        SignableBody::Bytes(body),
    )
    .map_err(|error| error.to_string())?;
    let (instructions, _) = sign(request, &parameters)
        .map_err(|error| error.to_string())?
        .into_parts();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(instructions.headers().map(owned).collect())
}

/// Percent-encodes all but the unreserved characters of RFC 3986; a path keeps its slashes.
pub(super) fn encode(text: &str, is_path: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let keep = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if keep || (is_path && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

pub(super) fn form_body(fields: &[(&str, &str)]) -> String {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value, false)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The texts of all elements `name` of an XML answer whose elements hold text only.
pub(super) fn values(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let unescape = |text: &str| {
        let text = text
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"");
        text.replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    };
    xml.split(open.as_str())
        .skip(1)
        .filter_map(|rest| rest.split_once(close.as_str()))
        .map(|(text, _)| unescape(text))
        .collect()
}

pub(super) fn read_versions(xml: &str) -> Vec<Version> {
    let mut versions = Vec::new();
    for (element, is_delete_marker) in [("Version", false), ("DeleteMarker", true)] {
        for entry in values(xml, element) {
            let first = |name| values(&entry, name).into_iter().next();
            if let (Some(key), Some(version_id)) = (first("Key"), first("VersionId")) {
                versions.push(Version {
                    key,
                    version_id,
                    is_delete_marker,
                });
            }
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::{encode, form_body, read_versions, values};

    #[test]
    fn encodes_as_rfc_3986_says() {
        assert_eq!(encode("a b/c~é", true), "a%20b/c~%C3%A9");
        assert_eq!(encode("a/b", false), "a%2Fb");
        assert_eq!(form_body(&[("A", "1&2"), ("B", "x")]), "A=1%262&B=x");
    }

    #[test]
    fn reads_elements() {
        let xml = "<R><Code>Access&amp;Denied</Code><Code>b</Code></R>";
        assert_eq!(values(xml, "Code"), ["Access&Denied", "b"]);
        assert!(values(xml, "Mode").is_empty());
    }

    #[test]
    fn tells_versions_from_delete_markers() {
        let xml = "<L><Version><Key>a</Key><VersionId>1</VersionId></Version>\
                   <DeleteMarker><Key>a</Key><VersionId>2</VersionId></DeleteMarker></L>";
        let version = |id: &str, is_delete_marker| Version {
            key: "a".to_owned(),
            version_id: id.to_owned(),
            is_delete_marker,
        };
        assert_eq!(
            read_versions(xml),
            [version("1", false), version("2", true)]
        );
    }
}
