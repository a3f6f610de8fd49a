//! Makes the planned faults happen, and ends them.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bonesetter_chassis::clock::Clock;
use bonesetter_demo::receiver::Answer;
use bonesetter_testbed::fault::Link;
use bonesetter_testbed::process::{pause, resume};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::bed::Bed;
use crate::fault::Fault;
use crate::fleet::{Fleet, REPLICAS, name_of};
use crate::garbage;
use crate::say;
use crate::schedule::Planned;
use crate::world::Window;

/// The name under which svc-notifier runs.
const NOTIFIER: &str = "svc-notifier";

/// What is under way.
#[derive(Debug)]
struct Ongoing {
    fault: Fault,
    /// The process that was paused.
    pid: Option<u32>,
    ends: Instant,
    began: SystemTime,
}

/// The faults of a run.
#[derive(Debug)]
pub struct Storm {
    started: Instant,
    planned: std::vec::IntoIter<Planned>,
    next: Option<Planned>,
    ongoing: Vec<Ongoing>,
    random: StdRng,
    services: Vec<String>,
    clock: Clock,
    /// What happened, besides garbage.
    pub faults: usize,
    /// How many of these ended a process.
    pub kills: usize,
    /// What garbage was published under.
    pub garbage: Vec<String>,
    /// When notices may have been posted and not recorded.
    pub windows: Vec<Window>,
}

impl Storm {
    /// A storm that begins now.
    pub fn new(seed: u64, planned: Vec<Planned>, services: Vec<String>) -> Self {
        let mut planned = planned.into_iter();
        Self {
            started: Instant::now(),
            next: planned.next(),
            planned,
            ongoing: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            services,
            clock: Clock::system(),
            faults: 0,
            kills: 0,
            garbage: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// Since its beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends what is due to end, and begins what is due to begin.
    pub async fn blow(&mut self, bed: &mut Bed, fleet: &mut Fleet) -> anyhow::Result<()> {
        let now = Instant::now();
        let is_over = |ongoing: &mut Ongoing| ongoing.ends <= now;
        let over: Vec<Ongoing> = self.ongoing.extract_if(.., is_over).collect();
        for ongoing in over {
            self.end(ongoing, bed).await?;
        }
        while let Some(planned) = self.next
            && planned.at <= self.elapsed()
        {
            self.next = self.planned.next();
            self.begin(planned, bed, fleet).await?;
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        planned: Planned,
        bed: &mut Bed,
        fleet: &mut Fleet,
    ) -> anyhow::Result<()> {
        let Planned { lasts, fault, .. } = planned;
        let length = match lasts.as_secs_f64() {
            0.0 => String::new(),
            seconds => format!(" for {seconds:.1} s"),
        };
        let (now, what) = (self.elapsed(), fault.describe(&self.services));
        say(&format!("{:>6.1} s  {what}{length}", now.as_secs_f64()));
        let began = self.clock.now();
        let mut pid = None;
        match fault {
            Fault::KillService(place) => fleet.kill(place, lasts),
            Fault::PauseService(place) => pid = fleet.pause(place),
            Fault::KillServer(server) => bed.kill(server)?,
            Fault::PauseServer(server) => {
                let process = bed.pid(server)?;
                pause(process);
                pid = Some(process);
            }
            Fault::Link(peer, link) => bed.link(peer, link),
            Fault::Answer(answer) => bed.receiver.answer(answer),
            Fault::FullDisk => bed.fill_disk()?,
            Fault::Garbage(stage, kind) => {
                let subject = garbage::subject(stage, &mut self.random)?;
                let payload = garbage::payload(kind, &subject, &mut self.random);
                self.garbage.push(subject.to_string());
                let user = garbage::writer(stage).context("nobody writes there")?;
                let settings = bed.nats_settings(user.name)?;
                if let Err(error) = garbage::publish(&settings, user, &subject, payload).await {
                    say(&format!("          not known to be stored: {error:#}"));
                }
                return Ok(());
            }
        }
        self.faults += 1;
        self.kills += usize::from(fault.is_kill());
        self.ongoing.push(Ongoing {
            fault,
            pid,
            ends: Instant::now() + lasts,
            began,
        });
        Ok(())
    }

    async fn end(&mut self, ongoing: Ongoing, bed: &mut Bed) -> anyhow::Result<()> {
        match ongoing.fault {
            Fault::PauseService(_) | Fault::PauseServer(_) => {
                ongoing.pid.into_iter().for_each(resume);
            }
            Fault::KillServer(server) => bed.restart(server).await?,
            Fault::Link(peer, _) => bed.link(peer, Link::Open),
            Fault::Answer(_) => bed.receiver.answer(Answer::Accept),
            Fault::FullDisk => bed.free_disk().await?,
            // The fleet starts a service again by itself.
            Fault::KillService(_) | Fault::Garbage(..) => {}
        }
        let is_notifier = |name: &String| (1..=REPLICAS).any(|it| *name == name_of(NOTIFIER, it));
        let mut notifiers = (0..)
            .zip(&self.services)
            .filter(|(_, name)| is_notifier(name));
        if notifiers.any(|(place, _)| ongoing.fault.can_repeat_a_notice(place)) {
            self.windows.push(Window {
                from: ongoing.began,
                to: self.clock.now(),
            });
        }
        Ok(())
    }

    /// Ends everything, planned or not.
    pub async fn calm(&mut self, bed: &mut Bed, fleet: &Fleet) -> anyhow::Result<()> {
        self.next = None;
        for ongoing in std::mem::take(&mut self.ongoing) {
            self.end(ongoing, bed).await?;
        }
        fleet.heal();
        bed.heal().await
    }
}
