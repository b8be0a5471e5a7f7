//! The image config: what OCI defines, what Docker adds, and what we do not know.
//!
//! The types are our own and not oci-spec's, because those drop what they do
//! not know (Docker's `Healthcheck`, `Shell`, `OnBuild`) and keep maps in
//! random order.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{ImageError, Platform, canonical_json, parse_json, validate_config};
use crate::digest::DiffId;

/// Fields that describe the machine on which a base was built and are wrong
/// for whatever is made of it.
const BUILD_FIELDS: [&str; 5] = ["container", "container_config", "docker_version", "id", "parent"];

/// An image config (OCI image spec, "Image Configuration").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub author: Option<String>,
    /// Go's name of the processor architecture.
    pub architecture: String,
    /// Go's name of the operating system.
    pub os: String,
    /// Of the architecture.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub variant: Option<String>,
    /// What a container of it runs, and how.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: Runtime,
    /// The layers, lowest first.
    pub rootfs: RootFs,
    /// How it came to be, oldest first.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// All else.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What a container runs, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Runtime {
    /// User, as in `user[:group]`, names or numbers.
    #[serde(skip_serializing_if = "none_or_empty")]
    pub user: Option<String>,
    /// Ports as `80/tcp`.
    #[serde(with = "set", skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// Variables as `NAME=value`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Program and first arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments, or the program where there is no entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that hold data of the container's own.
    #[serde(with = "set", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Absolute path.
    #[serde(skip_serializing_if = "none_or_empty")]
    pub working_dir: Option<String>,
    /// Metadata.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `SIGTERM`, `15`.
    #[serde(skip_serializing_if = "none_or_empty")]
    pub stop_signal: Option<String>,
    /// Docker's extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// All else: Docker's `Shell`, `OnBuild`, `ArgsEscaped`, ...
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Docker's health check. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `NONE`, or `CMD` and arguments, or `CMD-SHELL` and a script; empty inherits.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// Of one check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Grace at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<u64>,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// All else (`StartInterval`).
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

/// One line of how an image came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made this line.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub author: Option<String>,
    /// What was done.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub created_by: Option<String>,
    /// More about it.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The config of an image with nothing in it.
    #[must_use]
    pub fn empty(platform: &Platform) -> Self {
        Self {
            created: None,
            author: None,
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            config: Runtime::default(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
            history: Vec::new(),
            other: BTreeMap::new(),
        }
    }

    /// Reads and checks a config.
    ///
    /// # Errors
    /// [`ImageError::Json`] and [`ImageError::Invalid`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let config: Self = parse_json("image config", bytes)?;
        validate_config(&config)?;
        Ok(config)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(self)
    }

    /// What it runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
        .normalised()
    }

    /// This config as the start of another image: without what Docker notes of
    /// the container in which the base was made.
    #[must_use]
    pub fn into_base(mut self) -> Self {
        for field in BUILD_FIELDS {
            self.other.remove(field);
        }
        self.pad_history();
        self
    }

    /// Gives each layer a line of history, where some have none (tools may
    /// leave the history out; but there is none or one for each layer).
    pub fn pad_history(&mut self) {
        let lines = self.history.iter().filter(|line| !line.empty_layer).count();
        for _ in lines..self.rootfs.diff_ids.len() {
            self.history.push(History {
                created: self.created.clone(),
                comment: Some("history is not known".to_owned()),
                ..History::default()
            });
        }
    }

    /// The value of an environment variable.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        let assignments = self.config.env.iter().filter_map(|env| env.split_once('='));
        assignments.filter(|(n, _)| *n == name).map(|(_, value)| value).next_back()
    }

    /// All environment variables in order.
    pub fn env_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.env.iter().map(|env| env.split_once('=').unwrap_or((env, "")))
    }

    /// The working directory; `/` where none is set.
    #[must_use]
    pub fn workdir(&self) -> &str {
        self.config.working_dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or("/")
    }
}

fn none_or_empty(text: &Option<String>) -> bool {
    text.as_deref().is_none_or(str::is_empty)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A Go `map[string]struct{}` as a sorted list.
mod set {
    use super::{BTreeMap, Deserialize, Deserializer, Value};
    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(
        items: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let empty = || Value::Object(serde_json::Map::new());
        serializer.collect_map(items.iter().map(|item| (item, empty())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        let map = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{
        "architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05.678Z",
        "docker_version":"20.10","container":"abc","container_config":{"Image":"x"},
        "config":{"Hostname":"","Env":["PATH=/bin","A=1"],"Cmd":null,"Volumes":null,
          "Labels":null,"OnBuild":["RUN x"],"Shell":["/bin/bash","-c"],"ArgsEscaped":true,
          "ExposedPorts":{"80/tcp":{},"443/tcp":{}},
          "Healthcheck":{"Test":["CMD","true"],"Interval":30000000000,"StartInterval":5}},
        "history":[{"created":"2024-01-02T03:04:05Z","created_by":"ADD"},{"empty_layer":true}],
        "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;

    #[test]
    fn dockers_extensions_and_unknown_fields_survive_a_round_trip() {
        let config = ImageConfig::parse(DOCKER.as_bytes()).expect("a good config");
        let written: Value = serde_json::from_slice(&config.to_json()).expect("JSON");
        let mut expected: Value = serde_json::from_str(DOCKER).expect("JSON");
        for null in ["Cmd", "Volumes", "Labels"] {
            expected["config"].as_object_mut().expect("an object").remove(null);
        }
        assert_eq!(written, expected);
        assert_eq!(ImageConfig::parse(&config.to_json()).expect("good"), config);
    }

    #[test]
    fn the_same_facts_in_another_order_are_the_same_bytes() {
        let value: Value = serde_json::from_str(DOCKER).expect("JSON");
        let reversed: serde_json::Map<_, _> =
            value.as_object().expect("an object").clone().into_iter().rev().collect();
        let reversed = serde_json::to_vec(&reversed).expect("JSON");
        let parse = |bytes: &[u8]| ImageConfig::parse(bytes).expect("good").to_json();
        assert_eq!(parse(&reversed), parse(DOCKER.as_bytes()));
    }

    #[test]
    fn a_base_forgets_the_container_it_was_built_in_and_keeps_the_rest() {
        let base = ImageConfig::parse(DOCKER.as_bytes()).expect("good").into_base();
        assert!(base.other.is_empty(), "{:?}", base.other);
        assert_eq!(base.config.other.len(), 4);
        assert_eq!(base.env("A"), Some("1"));
        assert_eq!(base.env("B"), None);
        assert_eq!(base.workdir(), "/");
    }
}
