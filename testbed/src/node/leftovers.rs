//! What a node leaves in the kernel, and how it is removed: at the end of a run, and before the
//! next one if a run was killed. Everything is found by what belongs to this testbed (its socket,
//! its folder, its control group, its bridge), never by the name of a program.

use super::{Places, network};
use crate::process::send;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where control groups are mounted.
pub(super) const CGROUPS: &str = "/sys/fs/cgroup";
/// The kubelet's groups are below this one, so that they are not those of another kubelet.
pub(super) const CGROUP_ROOT: &str = "/bonesetter";

/// How long removed things may take to be gone.
const LIMIT: Duration = Duration::from_secs(10);

/// Removes everything that a node with these places may have left.
pub(crate) fn clean(places: &Places) {
    end_shims(places);
    unmount_below(places.root());
    remove_cgroups();
    network::remove();
}

/// Whether something of an earlier run is there.
pub(crate) fn exist() -> bool {
    network::exists() || cgroup_roots().iter().any(|root| root.exists())
}

/// Ends the shims of this testbed's containerd, each by its id: first the containers that it is
/// the parent of, then itself.
pub(crate) fn end_shims(places: &Places) {
    let socket = places.socket();
    let shims: Vec<u32> = processes()
        .into_iter()
        .filter(|pid| is_shim_of(&read_arguments(*pid), socket.as_os_str()))
        .collect();
    for shim in &shims {
        for pid in processes() {
            if parent(pid) == Some(*shim) {
                send(pid, Signal::KILL);
            }
        }
        send(*shim, Signal::KILL);
    }
    let is_gone = || shims.iter().all(|pid| !is_running(*pid));
    wait_until(is_gone);
    remove_shim_sockets(places);
}

/// Whether a command line is that of a shim that reports to this socket.
fn is_shim_of(arguments: &[Vec<u8>], socket: &OsStr) -> bool {
    let program = arguments.first().map_or(&[][..], Vec::as_slice);
    let is_shim = Path::new(OsStr::from_bytes(program))
        .file_name()
        .is_some_and(|name| name.as_bytes().starts_with(b"containerd-shim"));
    let reports_here = arguments
        .windows(2)
        .any(|pair| pair[0].as_slice() == b"-address" && pair[1].as_slice() == socket.as_bytes());
    is_shim && reports_here
}

/// Shims keep their sockets in a folder that all of the machine share; each is named in a file
/// `address` of its container.
fn remove_shim_sockets(places: &Places) {
    let tasks = places.file("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let address = fs::read_to_string(task.path().join("address")).unwrap_or_default();
        if let Some(socket) = address.trim().strip_prefix("unix://") {
            // Gone already when the shim ended in order.
            drop(fs::remove_file(socket));
        }
    }
}

/// Unmounts everything below a folder, the deepest first.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for path in mounts_below(&mounts, folder) {
        // Refused for one that went with another.
        let _ = unmount(&path, UnmountFlags::DETACH);
    }
}

/// Source: `proc_pid_mountinfo(5)`: field 5 is the mount point, with `\040` for a space.
fn mounts_below(mountinfo: &str, folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(folder))
        .collect();
    found.sort();
    found.reverse();
    found
}

/// The testbed's group in each hierarchy: one for version 2, one for each controller in version 1.
fn cgroup_roots() -> Vec<PathBuf> {
    let name = CGROUP_ROOT.trim_start_matches('/');
    hierarchies()
        .into_iter()
        .map(|hierarchy| hierarchy.join(name))
        .collect()
}

fn hierarchies() -> Vec<PathBuf> {
    if Path::new(CGROUPS).join("cgroup.controllers").exists() {
        return vec![PathBuf::from(CGROUPS)];
    }
    let entries = fs::read_dir(CGROUPS).into_iter().flatten().flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink());
    folders
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// Makes the group that the kubelet is told to stay in.
pub(super) fn create_cgroups() -> io::Result<()> {
    for root in cgroup_roots() {
        fs::create_dir_all(&root)?;
        // Version 2 only: hand the controllers down. Those that are not there are refused.
        for folder in [Path::new(CGROUPS), root.as_path()] {
            let control = folder.join("cgroup.subtree_control");
            if control.exists() {
                for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] {
                    drop(fs::write(&control, format!("+{controller}")));
                }
            }
        }
        // Version 1 only: a new cpuset is empty and takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let inherited = root.parent().map(|parent| parent.join(file));
            if let Some(value) = inherited.and_then(|path| fs::read_to_string(path).ok())
                && root.join("cpuset.cpu_exclusive").exists()
            {
                fs::write(root.join(file), value)?;
            }
        }
    }
    Ok(())
}

/// Ends what still runs in the testbed's groups, and removes them, the deepest first.
fn remove_cgroups() {
    let roots = cgroup_roots();
    wait_until(|| {
        for root in &roots {
            remove_cgroup(root);
        }
        roots.iter().all(|root| !root.exists())
    });
}

fn remove_cgroup(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroup(&entry.path());
        }
    }
    let inside = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in inside.lines().filter_map(|line| line.parse().ok()) {
        send(pid, Signal::KILL);
    }
    // Refused while a process is still ending; the caller asks again.
    drop(fs::remove_dir(folder));
}

fn wait_until(is_done: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_done() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn processes() -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn read_arguments(pid: u32) -> Vec<Vec<u8>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// Source: `proc_pid_stat(5)`, fields 3 (state) and 4 (parent).
fn read_stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn parent(pid: u32) -> Option<u32> {
    read_stat(pid).map(|(_, parent)| parent)
}

fn is_running(pid: u32) -> bool {
    read_stat(pid).is_some_and(|(state, _)| state != 'Z')
}

#[cfg(test)]
mod tests {
    use super::{is_shim_of, mounts_below};
    use std::ffi::OsStr;
    use std::path::{Path, PathBuf};

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    }

    #[test]
    fn only_shims_of_the_own_socket_are_meant() {
        let own = OsStr::new("/r/containerd.sock");
        for (line, expected) in [
            (
                "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id a -address /r/containerd.sock",
                true,
            ),
            (
                "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id a -address /run/containerd.sock",
                false,
            ),
            ("/usr/bin/tail -address /r/containerd.sock", false),
            ("", false),
        ] {
            assert_eq!(is_shim_of(&words(line), own), expected, "{line}");
        }
    }

    #[test]
    fn the_deepest_mount_comes_first() {
        let mountinfo = "1 0 0:1 / / rw - ext4 x rw\n\
                         2 1 0:2 / /r/node/kubelet rw - ext4 x rw\n\
                         3 2 0:3 / /r/node/kubelet/pods/a\\040b rw - tmpfs t rw\n\
                         4 1 0:4 / /r/node2 rw - tmpfs t rw\n";
        let expected = ["/r/node/kubelet/pods/a b", "/r/node/kubelet"]
            .map(PathBuf::from)
            .to_vec();
        assert_eq!(mounts_below(mountinfo, Path::new("/r/node")), expected);
    }
}
