//! Who may see what: names in client certificates, and the namespaces that the settings give them.

use std::collections::BTreeSet;

use tonic::Status;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::Reader;
use crate::postgres::read::Namespaces;

/// In the settings: every namespace, and what has none.
const ALL: &str = "*";

/// A caller, as far as the settings know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The name in the settings.
    pub(crate) name: String,
    namespaces: Namespaces,
}

impl Caller {
    /// Who presented that certificate (DER), which the authority of the settings has issued. The common
    /// name and the alternative names count; with several known ones, the first of the settings.
    pub(crate) fn of(certificate: &[u8], readers: &[Reader]) -> Result<Self, Status> {
        let names = names(certificate)
            .ok_or_else(|| Status::unauthenticated("the client certificate cannot be read"))?;
        let Some(reader) = readers.iter().find(|reader| names.contains(&reader.name)) else {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(Status::permission_denied(format!(
                "nobody in serve.readers has a name of this certificate ({})",
                names.join(", ")
            )));
        };
        let is_all = reader.namespaces.iter().any(|namespace| namespace == ALL);
        Ok(Self {
            name: reader.name.clone(),
            namespaces: (!is_all).then(|| reader.namespaces.clone()),
        })
    }

    /// What the caller may see of what it asks for.
    pub(crate) fn narrowed(&self, namespace: &str) -> Result<Namespaces, Status> {
        if namespace.is_empty() {
            return Ok(self.namespaces.clone());
        }
        let is_allowed = self
            .namespaces
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|name| name == namespace));
        if is_allowed {
            Ok(Some(vec![namespace.to_owned()]))
        } else {
            Err(Status::permission_denied(format!(
                "{} may not see the namespace {namespace:?}",
                self.name
            )))
        }
    }
}

fn names(certificate: &[u8]) -> Option<BTreeSet<String>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let common = certificate.subject().iter_common_name();
    let mut names: BTreeSet<String> = common
        .filter_map(|name| name.as_str().ok())
        .map(str::to_owned)
        .collect();
    if let Some(alternative) = certificate.subject_alternative_name().ok()? {
        for name in &alternative.value.general_names {
            if let GeneralName::DNSName(name) | GeneralName::URI(name) = name {
                names.insert((*name).to_owned());
            }
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use bonesetter_testbed::authority::Authority;
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn certificate(common: &str, alternative: &[&str]) -> Vec<u8> {
        let authority = Authority::make("one").unwrap();
        let pair = authority.issue(common, None, alternative).unwrap();
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
        certificate.unwrap().to_vec()
    }

    fn reader(name: &str, namespaces: &[&str]) -> Reader {
        Reader {
            name: name.to_owned(),
            namespaces: namespaces.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn a_caller_is_known_by_any_name_and_by_the_first_of_the_settings() {
        let readers = [
            reader("shop-team", &["shop", "shop-test"]),
            reader("sre.example.com", &["*"]),
        ];
        let caller = |common, alternative: &[&str]| {
            Caller::of(&certificate(common, alternative), &readers).map(|caller| caller.name)
        };
        assert_eq!(caller("shop-team", &[]).unwrap(), "shop-team");
        assert_eq!(
            caller("x", &["sre.example.com"]).unwrap(),
            "sre.example.com"
        );
        assert_eq!(
            caller("shop-team", &["sre.example.com"]).unwrap(),
            "shop-team"
        );
        let stranger = caller("svc-llm", &["svc-llm.example.com"]).unwrap_err();
        assert_eq!(stranger.code(), tonic::Code::PermissionDenied);
        let nonsense = Caller::of(b"no certificate", &readers).unwrap_err();
        assert_eq!(nonsense.code(), tonic::Code::Unauthenticated);
    }

    #[test]
    fn a_caller_sees_its_namespaces_and_no_others() {
        let readers = [reader("team", &["shop", "cart"]), reader("sre", &["*"])];
        let team = Caller::of(&certificate("team", &[]), &readers).unwrap();
        let sre = Caller::of(&certificate("sre", &[]), &readers).unwrap();
        let list = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(team.narrowed("").unwrap(), list(&["shop", "cart"]));
        assert_eq!(team.narrowed("cart").unwrap(), list(&["cart"]));
        assert!(team.narrowed("bank").is_err());
        assert_eq!(sre.narrowed("").unwrap(), None);
        assert_eq!(sre.narrowed("bank").unwrap(), list(&["bank"]));
    }
}
