use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Problems;

/// How to reach the bus.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct NatsSettings {
    /// `nats://host:port`.
    pub url: String,
    /// The user's nkey seed.
    pub nkey_file: PathBuf,
    /// Certificates; without a CA file the connection is not encrypted unless the URL or the server
    /// asks for it.
    pub tls: NatsTls,
}

/// Certificates for the bus, PEM. They are read again at every connect, so a rotated one is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NatsTls {
    /// Who may vouch for the server; several certificates while authorities rotate.
    pub ca_file: Option<PathBuf>,
    /// What this service shows to the server, with the certificates between it and the authority.
    pub certificate_file: Option<PathBuf>,
    /// The key of that certificate.
    pub key_file: Option<PathBuf>,
}

impl NatsTls {
    /// The files that are set, by the name of their setting.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [
            ("nats.tls.ca_file", &self.ca_file),
            ("nats.tls.certificate_file", &self.certificate_file),
            ("nats.tls.key_file", &self.key_file),
        ]
        .into_iter()
        .filter_map(|(name, path)| Some((name, path.as_deref()?)))
    }
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            nkey_file: PathBuf::from("/etc/bonesetter/keys/nats.nk"),
            tls: NatsTls::default(),
        }
    }
}

impl NatsSettings {
    pub(super) fn validate(&self, problems: &mut Problems) {
        if !self.url.starts_with("nats://") && !self.url.starts_with("tls://") {
            problems.add("nats.url", "must start with nats:// or tls://");
        }
        if self.url.contains('@') {
            problems.add("nats.url", "must not hold credentials; use nats.nkey_file");
        }
        let tls = &self.tls;
        if tls.certificate_file.is_some() != tls.key_file.is_some() {
            problems.add(
                "nats.tls",
                "certificate_file and key_file must be set together",
            );
        }
    }
}
