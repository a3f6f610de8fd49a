//! The certificates of a NATS server and of its clients.

use std::fs;
use std::path::{Path, PathBuf};

use bonesetter_chassis::config::NatsTls;
use bonesetter_chassis::topology::USERS;

use super::Error;
use crate::authority::Authority;
use crate::cluster::write_private;

/// The name of the server's own certificate.
pub(super) const SERVER: &str = "nats-server";
const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

/// Files in the folder of one server: the authority's certificate, the server's, and one for each
/// user, so that processes that did not start the server can connect too.
#[derive(Debug, Clone)]
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    /// Of the server with that folder.
    pub(super) fn new(dir: &Path) -> Self {
        Self::in_folder(dir.join("tls"))
    }

    /// In that very folder.
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.0.clone()
    }

    pub(super) fn exist(&self) -> bool {
        self.certificate(SERVER).exists()
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.crt"))
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    /// What a user sets.
    pub(crate) fn settings(&self, user: &str) -> NatsTls {
        NatsTls {
            ca_file: Some(self.authority()),
            certificate_file: Some(self.certificate(user)),
            key_file: Some(self.key(user)),
        }
    }

    /// Makes an authority, and certificates of the server and of every user of ours.
    pub(super) fn make(&self) -> Result<Authority, Error> {
        let authority = Authority::make("bonesetter-testbed-nats")?;
        write_private(&self.authority(), authority.certificate.as_bytes())?;
        self.issue(&authority, SERVER)?;
        for user in USERS {
            self.issue(&authority, user.name)?;
        }
        Ok(authority)
    }

    /// Makes a certificate, or replaces the one that is there.
    pub(super) fn issue(&self, authority: &Authority, name: &str) -> Result<(), Error> {
        let pair = authority.issue(name, None, &LOOPBACK)?;
        write_private(&self.certificate(name), pair.certificate.as_bytes())?;
        write_private(&self.key(name), pair.key.as_bytes())?;
        Ok(())
    }

    /// Who has a certificate.
    pub(super) fn users(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            name.strip_suffix(".key").map(str::to_owned)
        });
        names.filter(|name| name != SERVER).collect()
    }
}
