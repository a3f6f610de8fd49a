use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The file that takes the room.
const BALLAST: &str = "ballast";
static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];

/// A small disk could not be made or filled.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} the small disk {}: {source}", folder.display())]
pub struct DiskError {
    what: &'static str,
    folder: PathBuf,
    source: io::Error,
}

/// A file system of limited size (a tmpfs; it needs root), unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts `bytes` of empty room at a folder, instead of one that an earlier run left there.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self, DiskError> {
        let failed = |source| DiskError {
            what: "mount",
            folder: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        // Fails where nothing is mounted.
        while unmount(folder, UnmountFlags::DETACH).is_ok() {}
        let size = CString::new(format!("size={bytes},mode=0700"))
            .map_err(|error| failed(io::Error::other(error)))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("bonesetter", folder, "tmpfs", flags, size.as_c_str())
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Takes all the room that is left; returns how many bytes that was.
    pub fn fill(&self) -> Result<u64, DiskError> {
        let failed = |source| DiskError {
            what: "fill",
            folder: self.folder.clone(),
            source,
        };
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(BALLAST))
            .map_err(failed)?;
        let mut taken = 0;
        loop {
            match file.write(&PIECE) {
                Ok(count) => taken += count as u64,
                Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) => {
                    return Ok(taken);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Gives the room back.
    pub fn free(&self) -> Result<(), DiskError> {
        match fs::remove_file(self.folder.join(BALLAST)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DiskError {
                what: "free",
                folder: self.folder.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until it ends.
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}
