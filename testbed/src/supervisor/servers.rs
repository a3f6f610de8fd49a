//! The servers of a testbed together: started side by side, watched, described, stopped in order.

use super::{Error, WATCH, log_line};
use crate::cluster::write_private;
use crate::loki::LokiServer;
use crate::minio::{BUCKET, MinioServer};
use crate::nats::{NatsOptions, NatsServer};
use crate::node::{API_SERVER, Node, NodeLock, Places, leftovers};
use crate::paths::Layout;
use crate::postgres::PostgresServer;
use crate::process::Server;
use crate::programs::Programs;
use crate::progress::{Sink, Task};
use crate::run::{ClusterKind, Part, Plan};
use crate::state::{MinioState, ProcessState, State};
use std::fs;

/// The running servers.
#[derive(Debug, Default)]
pub(super) struct Running {
    nats: Option<NatsServer>,
    postgres: Option<PostgresServer>,
    minio: Option<MinioServer>,
    loki: Option<LokiServer>,
    node: Option<Node>,
}

/// Starts what the plan names.
pub(super) async fn start_all(
    layout: &Layout,
    plan: &Plan,
    running: &mut Running,
    sink: Sink<'_>,
) -> Result<(), Error> {
    let programs = Programs::locate(&plan.programs())?;
    for part in ["nats", "postgres", "minio", "loki", "kubeconfigs"] {
        // Every run begins with empty servers.
        drop(fs::remove_dir_all(layout.part(part)));
    }
    layout.remove_logs();
    let Running {
        nats,
        postgres,
        minio,
        loki,
        node,
    } = running;
    let has = |part: Part| plan.parts.contains(&part);
    tokio::try_join!(
        timed("nats", has(Part::Nats), sink, nats, async |_| {
            Ok(NatsServer::start(NatsOptions {
                authorization: plan.nats_authorization.clone(),
                dir: Some(layout.part("nats")),
                log: Some(layout.log("nats")),
                plaintext: false,
            })
            .await?)
        }),
        timed(
            "postgres",
            has(Part::Postgres),
            sink,
            postgres,
            async |_| {
                Ok(PostgresServer::start(&layout.part("postgres"), layout.log("postgres")).await?)
            }
        ),
        timed("minio", has(Part::Minio), sink, minio, async |_| {
            let (dir, log) = (layout.part("minio"), layout.log("minio"));
            Ok(MinioServer::start(&programs, &dir, log, plan.retention_days).await?)
        }),
        timed("loki", has(Part::Loki), sink, loki, async |_| {
            Ok(LokiServer::start(&programs, &layout.part("loki"), layout.log("loki")).await?)
        }),
        timed(
            "node",
            plan.cluster == ClusterKind::Node,
            sink,
            node,
            async |task| {
                let faultbox = crate::image::build_faultbox(sink)?;
                Ok(Node::start(NodeLock::take()?, &programs, &faultbox, layout, task).await?)
            }
        ),
    )?;
    Ok(())
}

/// Starts one server, if it is wanted, into its place, and tells how long it took.
async fn timed<T>(
    name: &str,
    is_wanted: bool,
    sink: Sink<'_>,
    place: &mut Option<T>,
    start: impl AsyncFnOnce(&Task<'_>) -> Result<T, Error>,
) -> Result<(), Error> {
    if is_wanted {
        let task = Task::begin(name, sink);
        task.say("starting", None);
        *place = Some(start(&task).await?);
        task.done("ready");
    }
    Ok(())
}

impl Running {
    fn servers(&mut self) -> Vec<&mut Server> {
        let mut servers: Vec<&mut Server> = Vec::new();
        servers.extend(self.nats.as_mut().map(NatsServer::server));
        servers.extend(self.postgres.as_mut().map(PostgresServer::server));
        servers.extend(self.minio.as_mut().map(MinioServer::server));
        servers.extend(self.loki.as_mut().map(LokiServer::server));
        if let Some(node) = &mut self.node {
            servers.extend(node.servers());
        }
        servers
    }

    /// Returns when a server ends by itself. The API server is started again, as the kubelet of a real
    /// control plane does; the state file then names the new process.
    pub(super) async fn watch(&mut self, state: &mut State) -> Result<(), Error> {
        loop {
            let mut is_changed = false;
            for server in self.servers() {
                match server.check_alive() {
                    Err(error) if server.name() == API_SERVER => {
                        log_line(&error.to_string());
                        server.restart()?;
                        is_changed = true;
                    }
                    other => other?,
                }
            }
            if is_changed {
                state.servers = self.states();
                state.write()?;
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    fn states(&mut self) -> Vec<ProcessState> {
        self.servers()
            .iter()
            .map(|server| ProcessState::of(server.name(), server.pid(), server.log()))
            .collect()
    }

    /// Writes down where everything is.
    pub(super) fn describe(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        state: &mut State,
    ) -> Result<(), Error> {
        state.servers = self.states();
        state.nats = self.nats.as_ref().map(NatsServer::state);
        state.postgres_url = self
            .postgres
            .as_ref()
            .map(|postgres| postgres.client().base_url());
        state.loki_url = self.loki.as_ref().map(LokiServer::url);
        if let Some(minio) = &self.minio {
            let root_file = layout.part("minio-root.json");
            let put_only_file = layout.part("minio-put-only.json");
            for (file, access) in [(&root_file, &minio.root), (&put_only_file, &minio.put_only)] {
                let text = serde_json::to_vec_pretty(access).map_err(|source| Error::File {
                    path: file.clone(),
                    source: source.into(),
                })?;
                write_private(file, &text)?;
            }
            let (url, bucket) = (minio.root.endpoint.clone(), BUCKET.to_owned());
            state.minio = Some(MinioState {
                url,
                bucket,
                root_file,
                put_only_file,
            });
        }
        state.node = self.node.as_ref().map(|node| node.state().clone());
        state.kubeconfig = match &plan.cluster {
            ClusterKind::Node => state.node.as_ref().map(|node| node.kubeconfig.clone()),
            ClusterKind::Existing { kubeconfig } => Some(kubeconfig.clone()),
            ClusterKind::None => None,
        };
        Ok(())
    }
}

/// Stops everything: the node first, because its workloads may use the other servers.
pub(super) async fn stop(layout: &Layout, plan: &Plan, running: &mut Running) {
    if let Some(mut node) = running.node.take() {
        node.stop(log_line).await;
    } else if plan.cluster == ClusterKind::Node {
        // Its start may have been cut off half-way.
        leftovers::clean(&Places::new(layout));
    }
    if let Some(mut loki) = running.loki.take() {
        loki.stop().await;
    }
    if let Some(mut minio) = running.minio.take() {
        minio.stop().await;
    }
    if let Some(mut postgres) = running.postgres.take() {
        postgres.stop().await;
    }
    if let Some(mut nats) = running.nats.take() {
        nats.stop().await;
    }
}
