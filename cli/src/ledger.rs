//! `IncidentService` of svc-audit, as the reading commands use it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_proto::grpc::incident_service_client::IncidentServiceClient;
use bonesetter_proto::v1::{
    GetIncidentRequest, GetIncidentResponse, IncidentSummary, ListIncidentsRequest,
    WatchIncidentsRequest,
};
use clap::Args;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Status};

use crate::commands::Format;
use crate::pipe;

mod print;
mod resume;

#[cfg(test)]
pub(crate) use print::as_json;
pub(crate) use print::{print_list, print_one};
use resume::Seen;

const CONNECT: Duration = Duration::from_secs(10);
/// Before a watch is taken up again.
const PAUSE: Duration = Duration::from_secs(1);
/// Incidents of one answer; the service gives no more.
const PAGE: u32 = 1000;
/// Incidents that a listing holds at most.
const MOST: usize = 10_000;

pub(crate) type Client = IncidentServiceClient<Channel>;

/// Where the ledger is read, instead of the streams.
#[derive(Debug, Clone, Args)]
pub(crate) struct Ledger {
    /// Ask the ledger at this address (https://HOST:PORT of `svc-audit serve`) instead of the streams: it
    /// knows incidents for longer, and of each what happened but not the texts.
    #[arg(
        long = "ledger",
        env = "BONESETTER_LEDGER_URL",
        value_name = "URL",
        requires_all = ["ledger_authority", "ledger_certificate", "ledger_key"]
    )]
    url: Option<String>,
    /// File with the certificates that may vouch for the ledger's server.
    #[arg(
        id = "ledger_authority",
        long = "ledger-ca-file",
        env = "BONESETTER_LEDGER_CA_FILE",
        value_name = "FILE"
    )]
    authority: Option<PathBuf>,
    /// File with the client certificate, by which the ledger's server knows the caller.
    #[arg(
        id = "ledger_certificate",
        long = "ledger-certificate-file",
        env = "BONESETTER_LEDGER_CERTIFICATE_FILE",
        value_name = "FILE"
    )]
    certificate: Option<PathBuf>,
    /// File with the key of the client certificate.
    #[arg(
        id = "ledger_key",
        long = "ledger-key-file",
        env = "BONESETTER_LEDGER_KEY_FILE",
        value_name = "FILE"
    )]
    key: Option<PathBuf>,
}

impl Ledger {
    /// Connects; `None` when no ledger is named.
    pub(crate) async fn connect(&self) -> anyhow::Result<Option<Client>> {
        let Self {
            url: Some(url),
            authority: Some(authority),
            certificate: Some(certificate),
            key: Some(key),
        } = self
        else {
            return Ok(None);
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(authority)?))
            .identity(Identity::from_pem(read(certificate)?, read(key)?));
        let channel = Channel::from_shared(url.clone())
            .with_context(|| format!("--ledger {url:?} is no URL"))?
            .tls_config(tls)
            .context("the certificates for the ledger are of no use")?
            .connect_timeout(CONNECT)
            .connect()
            .await
            .with_context(|| format!("cannot connect to the ledger at {url}"))?;
        // An incident with many events is larger than what a client takes unless it is told.
        let client = IncidentServiceClient::new(channel).max_decoding_message_size(64 << 20);
        Ok(Some(client))
    }
}

/// All incidents, the newest first.
pub(crate) async fn list(
    client: &mut Client,
    namespace: String,
    open_only: bool,
) -> anyhow::Result<Vec<IncidentSummary>> {
    let mut request = ListIncidentsRequest {
        namespace,
        open_only,
        page_size: PAGE,
        page_token: String::new(),
    };
    let mut incidents = Vec::new();
    loop {
        let answer = client.list(request.clone()).await.map_err(refused)?;
        let answer = answer.into_inner();
        incidents.extend(answer.incidents);
        if answer.next_page_token.is_empty() {
            return Ok(incidents);
        }
        if incidents.len() >= MOST {
            pipe::say_error(&format!(
                "bonesetter: there are more than {MOST}; give --namespace or --open to see others"
            ));
            return Ok(incidents);
        }
        request.page_token = answer.next_page_token;
    }
}

/// One incident.
pub(crate) async fn get(client: &mut Client, id: String) -> anyhow::Result<GetIncidentResponse> {
    let answer = client.get(GetIncidentRequest { id }).await;
    Ok(answer.map_err(refused)?.into_inner())
}

/// Prints events as they come until interrupted; takes the watch up again when it ends.
pub(crate) async fn watch(
    mut client: Client,
    from_start: bool,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let mut seen = Seen::after(from_start.then_some(0));
    loop {
        let following = follow(&mut client, &mut seen, format);
        let status = tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            ended = following => match ended? {
                Some(status) => status,
                None => return Ok(ExitCode::SUCCESS),
            },
        };
        if !matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted
        ) {
            return Err(refused(status));
        }
        pipe::say_error(&format!("bonesetter: {}; trying again", status.message()));
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Prints events until the watch ends; `None` when nobody reads what is printed.
async fn follow(
    client: &mut Client,
    seen: &mut Seen,
    format: Format,
) -> anyhow::Result<Option<Status>> {
    let request = WatchIncidentsRequest {
        after_sequence: seen.resume_after(),
        ..WatchIncidentsRequest::default()
    };
    let mut events = match client.watch(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    loop {
        match events.message().await {
            Ok(Some(answer)) => {
                let Some(event) = seen.new_in(answer) else {
                    continue;
                };
                if !pipe::is_printed(&print::line(&event, format))? {
                    return Ok(None);
                }
            }
            Ok(None) => return Ok(Some(Status::unavailable("the watch has ended"))),
            Err(status) => return Ok(Some(status)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(status: Status) -> anyhow::Error {
    match status.code() {
        Code::Unavailable => anyhow::anyhow!("the ledger: {}", status.message()),
        code => anyhow::anyhow!("the ledger refused ({code:?}): {}", status.message()),
    }
}
