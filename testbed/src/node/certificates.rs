//! Certificates of a cluster, made anew for each run.
//!
//! Names and organisations decide what each may do. Source: Kubernetes documentation, "PKI
//! certificates and requirements" and "Using Node Authorization".

use super::{Error, NAME, Places};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

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

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn make(name: &str) -> Result<Self, rcgen::Error> {
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(parameters, key),
            certificate,
        })
    }

    fn issue(
        &self,
        name: &str,
        organisation: Option<&str>,
        hosts: &[&str],
    ) -> Result<Pair, rcgen::Error> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts)?;
        parameters.distinguished_name.push(DnType::CommonName, name);
        if let Some(organisation) = organisation {
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, organisation);
        }
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }
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
