//! Reads the Kubernetes manifests of this folder, as a user's tools would.
//!
//! The tests of this crate hold manifests, NATS configuration and documents to the code: see
//! `tests/it`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Why manifests cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A folder or file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not YAML.
    #[error("{path} is not YAML: {problem}")]
    Yaml {
        /// Which.
        path: PathBuf,
        /// Where and why.
        problem: String,
    },
}

/// One Kubernetes object and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The file.
    pub file: PathBuf,
    /// The object.
    pub value: Value,
}

impl Object {
    /// Its kind; empty where there is none.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// Its name; empty where there is none.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// A value inside it by JSON pointer; null where there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// Every object of the YAML files of a folder, by name of the file. Subfolders and
/// `kustomization.yaml` are left out.
pub fn read_folder(folder: &Path) -> Result<Vec<Object>, ManifestError> {
    let failed = |source| ManifestError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_yaml = path.extension().is_some_and(|it| it == "yaml");
        if is_yaml && !path.ends_with("kustomization.yaml") {
            files.push(path);
        }
    }
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        objects.extend(read_file(&file)?);
    }
    Ok(objects)
}

/// Every object of one file.
pub fn read_file(file: &Path) -> Result<Vec<Object>, ManifestError> {
    let text = fs::read_to_string(file).map_err(|source| ManifestError::Read {
        path: file.to_owned(),
        source,
    })?;
    let values: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| ManifestError::Yaml {
            path: file.to_owned(),
            problem: error.to_string(),
        })?;
    let object = |value| Object {
        file: file.to_owned(),
        value,
    };
    Ok(values.into_iter().map(object).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_several_objects_are_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let two = "kind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b}\n";
        fs::write(dir.path().join("2.yaml"), "kind: C\nmetadata: {name: c}\n").unwrap();
        fs::write(dir.path().join("1.yaml"), two).unwrap();
        fs::write(dir.path().join("kustomization.yaml"), "resources: []\n").unwrap();
        fs::write(dir.path().join("README.md"), "no\n").unwrap();
        let objects = read_folder(dir.path()).unwrap();
        let names: Vec<_> = objects.iter().map(Object::name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(objects[1].kind(), "B");
    }

    #[test]
    fn what_is_not_yaml_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1.yaml"), "kind: [").unwrap();
        let error = read_folder(dir.path()).unwrap_err();
        assert!(matches!(error, ManifestError::Yaml { .. }), "{error}");
        assert!(read_folder(&dir.path().join("absent")).is_err());
    }
}
