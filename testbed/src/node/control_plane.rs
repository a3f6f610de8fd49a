//! etcd, the API server, the controller manager and the scheduler.

use super::{API_SERVER, Error, Places, network};
use crate::cluster::Endpoint;
use crate::ports::free_port;
use crate::process::{Launch, Server};
use crate::programs::{Program, Programs};
use crate::ready;
use std::path::PathBuf;
use std::time::Duration;

/// Ports on loopback, and the kubelet's on the bridge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) api: u16,
    etcd: u16,
    etcd_peer: u16,
    etcd_metrics: u16,
    manager: u16,
    scheduler: u16,
    pub(super) kubelet_health: u16,
}

impl Ports {
    pub(super) fn choose() -> Result<Self, Error> {
        let choose = || {
            free_port().map_err(|source| Error::File {
                path: PathBuf::from("127.0.0.1"),
                source,
            })
        };
        Ok(Self {
            api: choose()?,
            etcd: choose()?,
            etcd_peer: choose()?,
            etcd_metrics: choose()?,
            manager: choose()?,
            scheduler: choose()?,
            kubelet_health: choose()?,
        })
    }
}

/// Starts etcd and waits for it. Its log and snapshots are not synced to the disk: the cluster is
/// thrown away with the run.
pub(super) async fn start_etcd(
    programs: &Programs,
    places: &Places,
    ports: &Ports,
) -> Result<Server, Error> {
    let url = format!("https://127.0.0.1:{}", ports.etcd);
    let peer = format!("https://127.0.0.1:{}", ports.etcd_peer);
    let metrics = format!("http://127.0.0.1:{}", ports.etcd_metrics);
    let mut launch = Launch::new("etcd", programs.get(Program::Etcd)?, places.log("etcd"))
        .flag("name", "testbed")
        .flag("data-dir", places.file("etcd"))
        .flag("listen-client-urls", &url)
        .flag("advertise-client-urls", &url)
        .flag("listen-peer-urls", &peer)
        .flag("initial-advertise-peer-urls", &peer)
        .flag("initial-cluster", format!("testbed={peer}"))
        .flag("listen-metrics-urls", &metrics)
        .flag("log-level", "warn")
        .flag("unsafe-no-fsync", "true");
    for prefix in ["", "peer-"] {
        launch = launch
            .flag(
                &format!("{prefix}trusted-ca-file"),
                places.file("pki/etcd-ca.crt"),
            )
            .flag(&format!("{prefix}client-cert-auth"), "true")
            .flag(&format!("{prefix}cert-file"), places.file("pki/etcd.crt"))
            .flag(&format!("{prefix}key-file"), places.file("pki/etcd.key"));
    }
    let mut server = launch.start()?;
    let client = ready::local_http()?;
    let health = format!("{metrics}/health");
    let probe = async || ready::get_ok(&client, &health).await;
    ready::until("etcd", Duration::from_mins(1), &mut [&mut server], probe).await?;
    Ok(server)
}

/// Starts the API server.
pub(super) fn start_api_server(
    programs: &Programs,
    places: &Places,
    ports: &Ports,
) -> Result<Server, Error> {
    let program = programs.get(Program::KubeApiserver)?;
    let server = Launch::new(API_SERVER, program, places.log(API_SERVER))
        .flag("bind-address", "127.0.0.1")
        .flag("secure-port", ports.api.to_string())
        .flag("advertise-address", network::ADDRESS)
        // Nothing runs in the cluster that would look for the API server there.
        .flag("endpoint-reconciler-type", "none")
        .flag("service-cluster-ip-range", "10.96.0.0/16")
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .flag("client-ca-file", places.file("pki/ca.crt"))
        .flag("tls-cert-file", places.file("pki/api.crt"))
        .flag("tls-private-key-file", places.file("pki/api.key"))
        .flag("etcd-servers", format!("https://127.0.0.1:{}", ports.etcd))
        .flag("etcd-cafile", places.file("pki/etcd-ca.crt"))
        .flag("etcd-certfile", places.file("pki/api-to-etcd.crt"))
        .flag("etcd-keyfile", places.file("pki/api-to-etcd.key"))
        .flag("kubelet-certificate-authority", places.file("pki/ca.crt"))
        .flag(
            "kubelet-client-certificate",
            places.file("pki/api-to-kubelet.crt"),
        )
        .flag("kubelet-client-key", places.file("pki/api-to-kubelet.key"))
        .flag("kubelet-preferred-address-types", "InternalIP")
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .flag("service-account-key-file", places.file("pki/tokens.pub"))
        .flag(
            "service-account-signing-key-file",
            places.file("pki/tokens.key"),
        )
        .flag("profiling", "false")
        .start()?;
    Ok(server)
}

/// Starts the controller manager and the scheduler, and waits for both.
pub(super) async fn start_controllers(
    programs: &Programs,
    places: &Places,
    ports: &Ports,
    endpoint: &Endpoint,
) -> Result<(Server, Server), Error> {
    let launch = |program: Program, name: &str, port: u16| -> Result<Launch, Error> {
        let file = program.file_name();
        let kubeconfig = places.file(&format!("{name}.kubeconfig"));
        Ok(Launch::new(file, programs.get(program)?, places.log(file))
            .flag("kubeconfig", &kubeconfig)
            .flag("authentication-kubeconfig", &kubeconfig)
            .flag("authorization-kubeconfig", &kubeconfig)
            .flag("bind-address", "127.0.0.1")
            .flag("secure-port", port.to_string())
            .flag("tls-cert-file", places.file("pki/controllers.crt"))
            .flag("tls-private-key-file", places.file("pki/controllers.key"))
            .flag("leader-elect", "false"))
    };
    let mut scheduler = launch(Program::KubeScheduler, "scheduler", ports.scheduler)?.start()?;
    let manager = launch(
        Program::KubeControllerManager,
        "controller-manager",
        ports.manager,
    )?;
    let mut manager = manager
        .flag("root-ca-file", places.file("pki/ca.crt"))
        .flag(
            "service-account-private-key-file",
            places.file("pki/tokens.key"),
        )
        .flag("use-service-account-credentials", "true")
        .start()?;
    let authority = reqwest::Certificate::from_pem(endpoint.authority.as_bytes())?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .timeout(Duration::from_secs(5))
        .build()?;
    let servers = &mut [&mut scheduler, &mut manager];
    for port in [ports.scheduler, ports.manager] {
        let url = format!("https://127.0.0.1:{port}/healthz");
        let probe = async || ready::get_ok(&client, &url).await;
        ready::until("the controllers", Duration::from_mins(1), servers, probe).await?;
    }
    Ok((manager, scheduler))
}
