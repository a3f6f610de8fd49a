//! The methods of `IncidentService`.

use std::sync::Arc;
use std::time::Duration;

use bonesetter_proto::IncidentId;
use bonesetter_proto::grpc::incident_service_server::IncidentService;
use bonesetter_proto::v1::{
    GetIncidentRequest, GetIncidentResponse, ListIncidentsRequest, ListIncidentsResponse,
    WatchIncidentsRequest, WatchIncidentsResponse,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TlsConnectInfo};
use tonic::{Request, Response, Status};

use super::answer;
use super::follow::{Follower, Wanted};
use super::readers::Caller;
use super::watches::{Client, Left, Turns, Watch, Watches};
use crate::config::Reader;
use crate::metrics::{Method, ServeMetrics};
use crate::postgres::DatabaseError;
use crate::postgres::read::{Namespaces, ReadLedger};

/// Incidents on a page.
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;
/// Events of one incident in one answer.
const MAX_EVENTS: u32 = 10_000;
/// Between two looks at the ledger.
const INTERVAL: Duration = Duration::from_millis(500);

type Connection = TlsConnectInfo<<TcpStream as Connected>::ConnectInfo>;

/// Answers from the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Incidents {
    pub(crate) ledger: ReadLedger,
    pub(crate) readers: Arc<[Reader]>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) metrics: ServeMetrics,
    pub(crate) shutdown: CancellationToken,
}

impl Incidents {
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let connection = request.extensions().get::<Connection>();
        let chain = connection.and_then(Connection::peer_certs);
        let certificate = chain.as_ref().and_then(|chain| chain.first());
        let certificate =
            certificate.ok_or_else(|| Status::unauthenticated("a client certificate is needed"))?;
        Caller::of(certificate, &self.readers)
    }

    /// The status of an answer that the ledger did not give. What PostgreSQL says is for our log.
    fn refused(&self, error: &DatabaseError) -> Status {
        tracing::warn!(%error, "the ledger did not answer");
        if let Err(error) = self.ledger.refresh() {
            tracing::warn!(%error, "the database URL cannot be read again");
        }
        if error.is_passing() {
            Status::unavailable("the ledger does not answer; try again")
        } else {
            Status::internal("the ledger cannot answer this; the log of svc-audit says why")
        }
    }

    async fn list_page(
        &self,
        caller: &Caller,
        request: &ListIncidentsRequest,
    ) -> Result<ListIncidentsResponse, Status> {
        let namespaces = caller.narrowed(&request.namespace)?;
        let before = match request.page_token.as_str() {
            "" => i64::MAX,
            token => token
                .parse()
                .map_err(|_| Status::invalid_argument("page_token is not one of ours"))?,
        };
        let size = match request.page_size {
            0 => DEFAULT_PAGE,
            size @ 1..=MAX_PAGE => size,
            _ => {
                return Err(Status::invalid_argument(format!(
                    "page_size must be at most {MAX_PAGE}"
                )));
            }
        };
        // One more than is shown says whether there are more.
        let mut found = self
            .ledger
            .list(&namespaces, before, request.open_only, size + 1)
            .await
            .map_err(|error| self.refused(&error))?;
        let has_more = found.len() > size as usize;
        found.truncate(size as usize);
        let next_page_token = match found.last() {
            Some((_, seq)) if has_more => seq.to_string(),
            _ => String::new(),
        };
        let ids: Vec<String> = found.into_iter().map(|(id, _)| id).collect();
        let rows = self
            .ledger
            .overviews(&ids)
            .await
            .map_err(|error| self.refused(&error))?;
        let by_id = |id: &String| rows.iter().find(|row| &row.session_id == id);
        Ok(ListIncidentsResponse {
            incidents: ids.iter().filter_map(by_id).map(answer::summary).collect(),
            next_page_token,
        })
    }

    async fn get_one(
        &self,
        caller: &Caller,
        request: &GetIncidentRequest,
    ) -> Result<GetIncidentResponse, Status> {
        let namespaces = caller.narrowed("")?;
        let id = self.resolve(&namespaces, &request.id).await?;
        let overviews = self.ledger.overviews(std::slice::from_ref(&id)).await;
        let overviews = overviews.map_err(|error| self.refused(&error))?;
        let events = self
            .ledger
            .events(&namespaces, Some(&id), 0, MAX_EVENTS)
            .await
            .map_err(|error| self.refused(&error))?;
        Ok(GetIncidentResponse {
            incident: overviews.first().map(answer::summary),
            events: events.into_iter().map(answer::event).collect(),
        })
    }

    /// The one incident whose id begins so.
    async fn resolve(&self, namespaces: &Namespaces, prefix: &str) -> Result<String, Status> {
        let is_beginning = (1..=IncidentId::LENGTH).contains(&prefix.len())
            && prefix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        if !is_beginning {
            return Err(Status::invalid_argument(
                "id is neither an incident's id nor the beginning of one",
            ));
        }
        let mut found = self
            .ledger
            .find(namespaces, prefix)
            .await
            .map_err(|error| self.refused(&error))?;
        match (found.pop(), found.pop()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err(Status::not_found(format!(
                "the ledger holds no incident {prefix:?} that you may see"
            ))),
            (Some(_), Some(_)) => Err(Status::failed_precondition(format!(
                "several incidents begin with {prefix:?}; give more of the id"
            ))),
        }
    }

    async fn follow(
        &self,
        caller: &Caller,
        request: &WatchIncidentsRequest,
    ) -> Result<Watch, Status> {
        let permit = self.watches.open(&caller.name)?;
        let namespaces = caller.narrowed(&request.namespace)?;
        let incident = match request.incident_id.as_str() {
            "" => None,
            id => Some(self.resolve(&namespaces, id).await?),
        };
        let after = match request.after_sequence.map(i64::try_from) {
            None => None,
            Some(Ok(after)) => Some(after),
            Some(Err(_)) => return Err(Status::invalid_argument("after_sequence is too large")),
        };
        let wanted = Wanted {
            namespaces,
            incident,
        };
        let follower = Follower::start(self.ledger.clone(), wanted, after)
            .await
            .map_err(|error| self.refused(&error))?;
        let (client, watch) = Client::new();
        let this = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            this.metrics.watches.inc();
            if let Some(end) = this.pass_on(follower, &client).await {
                client.end(end);
            }
            this.metrics.watches.dec();
        });
        Ok(watch)
    }

    /// Until the client is gone, something fails, or we shut down; then says so.
    async fn pass_on(&self, mut follower: Follower, client: &Client) -> Option<Status> {
        let beginning = place(follower.through());
        if let Err(left) = client.send(beginning).await {
            return left.status();
        }
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                () = client.gone() => return None,
                () = self.shutdown.cancelled() => {
                    return Some(Status::unavailable("shutting down; watch again after the last place"));
                }
                _ = ticks.tick() => {}
            }
            let page = match follower.poll().await {
                Ok(page) => page,
                Err(error) => return Some(self.refused(&error)),
            };
            if page.has_more {
                ticks.reset_immediately();
            }
            for (row, resume_after) in page.rows {
                let answer = WatchIncidentsResponse {
                    event: Some(answer::event(row)),
                    ..place(resume_after)
                };
                if let Err(left) = client.send(answer).await {
                    return left.status();
                }
            }
        }
    }

    fn counted<T>(&self, method: Method, answer: Result<T, Status>) -> Result<Response<T>, Status> {
        let code = answer
            .as_ref()
            .map_or_else(Status::code, |_| tonic::Code::Ok);
        self.metrics.count(method, code);
        answer.map(Response::new)
    }
}

impl Left {
    /// What there is to say.
    fn status(self) -> Option<Status> {
        match self {
            Self::Gone => None,
            Self::Stuck => Some(Status::aborted(
                "the client took nothing for a minute; watch again after the last place",
            )),
        }
    }
}

/// Says after which place to watch again.
fn place(resume_after: i64) -> WatchIncidentsResponse {
    WatchIncidentsResponse {
        event: None,
        resume_after: u64::try_from(resume_after).unwrap_or(0),
    }
}

#[tonic::async_trait]
impl IncidentService for Incidents {
    type WatchStream = Watch;

    async fn list(
        &self,
        request: Request<ListIncidentsRequest>,
    ) -> Result<Response<ListIncidentsResponse>, Status> {
        let answer = match self.caller(&request) {
            Ok(caller) => {
                let _turn = self.turns.take(&caller.name).await;
                self.list_page(&caller, request.get_ref()).await
            }
            Err(status) => Err(status),
        };
        self.counted(Method::List, answer)
    }

    async fn get(
        &self,
        request: Request<GetIncidentRequest>,
    ) -> Result<Response<GetIncidentResponse>, Status> {
        let answer = match self.caller(&request) {
            Ok(caller) => {
                let _turn = self.turns.take(&caller.name).await;
                self.get_one(&caller, request.get_ref()).await
            }
            Err(status) => Err(status),
        };
        self.counted(Method::Get, answer)
    }

    async fn watch(
        &self,
        request: Request<WatchIncidentsRequest>,
    ) -> Result<Response<Watch>, Status> {
        let answer = match self.caller(&request) {
            Ok(caller) => self.follow(&caller, request.get_ref()).await,
            Err(status) => Err(status),
        };
        self.counted(Method::Watch, answer)
    }
}
