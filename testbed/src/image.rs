//! Images with one static binary, without a registry and without an image builder.
//!
//! A container runtime imports a tar of one layer, a configuration and a manifest
//! ("docker-archive"). Source: Docker Image Specification v1.2, "Combined Image JSON + Filesystem
//! Changeset Format".

use crate::paths::cache_dir;
use crate::progress::{Sink, Task};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The image of pod sandboxes.
pub const PAUSE: &str = "localhost/pause:1";
/// The test image, under the two tags that a rollout moves between.
pub const FAULTBOX: [&str; 2] = ["localhost/faultbox:1", "localhost/faultbox:2"];

/// An image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `cargo` failed.
    #[error("building faultbox failed:\n{0}")]
    Build(String),
}

/// An image that holds the binary as `/faultbox` and starts it.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Names with tags.
    pub tags: &'a [&'a str],
    /// What is started, such as `["/faultbox", "pause"]`.
    pub entrypoint: &'a [&'a str],
}

/// A docker-archive of `image` with `binary` in its only layer. The same input gives the same
/// bytes.
pub fn archive(image: &Image<'_>, binary: &[u8]) -> io::Result<Vec<u8>> {
    let layer = {
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "faultbox", binary, 0o755)?;
        tar.into_inner()?
    };
    let layer_digest = hex::encode(digest(&SHA256, &layer));
    let configuration = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": image.entrypoint,
            "Env": ["PATH=/"],
            "WorkingDir": "/",
            "User": "65532:65532",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        "history": [{"created_by": "bonesetter testbed"}],
    })
    .to_string();
    let configuration_name = format!(
        "{}.json",
        hex::encode(digest(&SHA256, configuration.as_bytes()))
    );
    let layer_name = format!("{layer_digest}/layer.tar");
    let manifest = json!([{
        "Config": configuration_name,
        "RepoTags": image.tags,
        "Layers": [layer_name],
    }])
    .to_string();
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, &layer_name, &layer, 0o644)?;
    append(
        &mut tar,
        &configuration_name,
        configuration.as_bytes(),
        0o644,
    )?;
    append(&mut tar, "manifest.json", manifest.as_bytes(), 0o644)?;
    tar.into_inner()
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    name: &str,
    content: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(content.len()).map_err(io::Error::other)?);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_cksum();
    tar.append_data(&mut header, name, content)
}

/// The name that image configurations use for this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The checkout around the current folder, or else the one that this crate was built from: checkouts
/// that share a target directory also share programs, and the one that built them may be gone.
fn workspace() -> PathBuf {
    let current = std::env::current_dir().unwrap_or_default();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_checkout = |folder: &&Path| folder.join("testbed/faultbox/Cargo.toml").is_file();
    let found = current.ancestors().find(is_checkout);
    found.or(package.parent()).unwrap_or(package).to_owned()
}

/// Builds the static `faultbox` binary, once for each state of its sources, and returns its place.
/// It has a target directory of its own: a build of the workspace that waits for this one would
/// otherwise be waited for by it.
pub fn build_faultbox(sink: Sink<'_>) -> Result<PathBuf, Error> {
    let sources = workspace().join("testbed").join("faultbox");
    let key = hash_folder(&sources)?;
    let folder = cache_dir().join("faultbox");
    let cached = folder.join(&key[..16]).join("faultbox");
    if cached.is_file() {
        return Ok(cached);
    }
    let task = Task::begin("faultbox", sink);
    task.say("building the test image", None);
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = folder.join("target");
    let mut cargo = Command::new("cargo");
    // `+crt-static` needs an explicit target, or procedural macros would be linked statically too.
    cargo.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "faultbox",
        "--target",
        &triple,
    ]);
    cargo
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_TARGET_DIR", &target);
    cargo.current_dir(workspace()).stdin(Stdio::null());
    let output = cargo
        .output()
        .map_err(|error| Error::Build(format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        return Err(Error::Build(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let built = target.join(&triple).join("release").join("faultbox");
    let cannot = |source| Error::File {
        path: cached.clone(),
        source,
    };
    fs::create_dir_all(folder.join(&key[..16])).map_err(cannot)?;
    fs::copy(&built, cached.with_extension("part")).map_err(cannot)?;
    fs::rename(cached.with_extension("part"), &cached).map_err(cannot)?;
    task.done("built the test image");
    Ok(cached)
}

/// Writes the archives of all images into `dir` and returns their places.
pub fn write_archives(binary: &Path, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    let content = fs::read(binary).map_err(cannot(binary))?;
    fs::create_dir_all(dir).map_err(cannot(dir))?;
    let images = [
        (
            "pause.tar",
            Image {
                tags: &[PAUSE],
                entrypoint: &["/faultbox", "pause"],
            },
        ),
        (
            "faultbox.tar",
            Image {
                tags: &FAULTBOX,
                entrypoint: &["/faultbox"],
            },
        ),
    ];
    let mut written = Vec::new();
    for (name, image) in images {
        let path = dir.join(name);
        let bytes = archive(&image, &content).map_err(cannot(&path))?;
        fs::write(&path, bytes).map_err(cannot(&path))?;
        written.push(path);
    }
    Ok(written)
}

/// A digest over the names and contents of all files below a folder.
fn hash_folder(folder: &Path) -> Result<String, Error> {
    let mut files = Vec::new();
    list_files(folder, &mut files).map_err(|source| Error::File {
        path: folder.to_owned(),
        source,
    })?;
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let content = fs::read(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        let name = path.strip_prefix(folder).unwrap_or(&path);
        all.extend_from_slice(name.to_string_lossy().as_bytes());
        all.extend_from_slice(digest(&SHA256, &content).as_ref());
    }
    Ok(hex::encode(digest(&SHA256, &all)))
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list_files(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads the image configuration out of an archive; for tests of what was written.
#[cfg(test)]
fn entries(archive: &[u8]) -> io::Result<std::collections::BTreeMap<String, Vec<u8>>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content)?;
        found.insert(name, content);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{FAULTBOX, Image, archive, entries};
    use aws_lc_rs::digest::{SHA256, digest};

    #[test]
    fn names_agree_with_digests() {
        let image = Image {
            tags: &FAULTBOX,
            entrypoint: &["/faultbox"],
        };
        let first = archive(&image, b"binary").unwrap();
        assert_eq!(
            first,
            archive(&image, b"binary").unwrap(),
            "the same input, the same bytes"
        );
        let entries = entries(&first).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_slice(&entries["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"], serde_json::json!(FAULTBOX));

        let name = manifest[0]["Config"].as_str().unwrap();
        let configuration = &entries[name];
        assert_eq!(
            name,
            format!("{}.json", hex::encode(digest(&SHA256, configuration)))
        );

        let layer = &entries[manifest[0]["Layers"][0].as_str().unwrap()];
        let configuration: serde_json::Value = serde_json::from_slice(configuration).unwrap();
        let expected = format!("sha256:{}", hex::encode(digest(&SHA256, layer)));
        assert_eq!(configuration["rootfs"]["diff_ids"][0], expected);
        assert_eq!(super::entries(layer).unwrap()["faultbox"], b"binary");
    }
}
