//! Certificates of a cluster, made anew for each run.
//!
//! Names and organisations decide what each may do. Source: Kubernetes documentation, "PKI
//! certificates and requirements" and "Using Node Authorization".

use super::{Error, NAME, Places};
use crate::authority::{Authority, Pair};
use rcgen::KeyPair;

/// All certificates of a cluster.
#[derive(Debug)]
pub(super) struct Certificates {
    cluster_authority: String,
    etcd_authority: String,
    /// File names and certificates.
    files: Vec<(&'static str, Pair)>,
    clients: Vec<(&'static str, Pair)>,
    /// Signs the tokens of service accounts: key and public key.
    tokens: (String, String),
}

impl Certificates {
    /// Makes all certificates for a node with this address.
    pub(super) fn make(address: &str) -> Result<Self, rcgen::Error> {
        let cluster = Authority::make("bonesetter-testbed")?;
        let etcd = Authority::make("bonesetter-testbed-etcd")?;
        let loopback = ["localhost", "127.0.0.1"];
        let api_hosts = [
            "localhost",
            "127.0.0.1",
            "10.96.0.1",
            "kubernetes.default.svc",
            "kubernetes.default",
        ];
        let node = format!("system:node:{NAME}");
        let files = vec![
            ("api", cluster.issue("kube-apiserver", None, &api_hosts)?),
            (
                "controllers",
                cluster.issue("controllers", None, &loopback)?,
            ),
            (
                "kubelet",
                cluster.issue(&node, Some("system:nodes"), &[NAME, address])?,
            ),
            (
                "api-to-kubelet",
                cluster.issue("kube-apiserver", Some("system:masters"), &[])?,
            ),
            ("etcd", etcd.issue("etcd", None, &loopback)?),
            ("api-to-etcd", etcd.issue("kube-apiserver", None, &[])?),
        ];
        let manager = "system:kube-controller-manager";
        let clients = vec![
            (
                "admin",
                cluster.issue("bonesetter-admin", Some("system:masters"), &[])?,
            ),
            ("controller-manager", cluster.issue(manager, None, &[])?),
            (
                "scheduler",
                cluster.issue("system:kube-scheduler", None, &[])?,
            ),
            ("node", cluster.issue(&node, Some("system:nodes"), &[])?),
        ];
        let tokens = KeyPair::generate()?;
        Ok(Self {
            cluster_authority: cluster.certificate,
            etcd_authority: etcd.certificate,
            files,
            clients,
            tokens: (tokens.serialize_pem(), tokens.public_key_pem()),
        })
    }

    /// The cluster's authority, PEM.
    pub(super) fn authority(&self) -> String {
        self.cluster_authority.clone()
    }

    /// Those that go into a kubeconfig.
    pub(super) fn clients(&self) -> &[(&'static str, Pair)] {
        &self.clients
    }

    /// Writes `NAME.crt` and `NAME.key` into the folder `pki` of the node.
    pub(super) fn write(&self, places: &Places) -> Result<(), Error> {
        places.write("pki/ca.crt", &self.cluster_authority)?;
        places.write("pki/etcd-ca.crt", &self.etcd_authority)?;
        for (name, pair) in &self.files {
            places.write(&format!("pki/{name}.crt"), &pair.certificate)?;
            places.write(&format!("pki/{name}.key"), &pair.key)?;
        }
        places.write("pki/tokens.key", &self.tokens.0)?;
        places.write("pki/tokens.pub", &self.tokens.1)?;
        Ok(())
    }
}
