//! Faults of what lies between programs: connections and disks. Those of the programs themselves are
//! [`process::kill`](crate::process::kill) and [`process::pause`](crate::process::pause), and the
//! `kill` and `restart` of the servers.

mod disk;
mod proxy;

pub use disk::{DiskError, SmallDisk};
pub use proxy::{Fuse, Link, Proxy};
