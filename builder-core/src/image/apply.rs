//! Changes of a config, with the meaning that Docker gives them.

use super::config::Healthcheck;
use super::{ImageConfig, Platform};
use crate::pattern::absolute;
use crate::plan::op::{self, ConfigPatch, ImagePlatform};

impl ImageConfig {
    /// Carries out a change.
    ///
    /// A variable that is set already keeps its place; a new entrypoint drops
    /// the command that is there, unless the change brings one; a relative
    /// working directory goes below the one before; ports without a protocol
    /// are TCP's.
    pub fn apply(&mut self, patch: &ConfigPatch) {
        let ConfigPatch {
            entrypoint,
            cmd,
            env,
            labels,
            expose,
            volumes,
            user,
            workdir,
            stop_signal,
            healthcheck,
            shell,
            onbuild,
            author,
            platform,
        } = patch;
        if let Some(entrypoint) = entrypoint {
            self.config.entrypoint = Some(entrypoint.clone()).filter(|argv| !argv.is_empty());
            self.config.cmd = None;
        }
        if let Some(cmd) = cmd {
            self.config.cmd = Some(cmd.clone()).filter(|argv| !argv.is_empty());
        }
        for (name, value) in env {
            self.set_env(name, value);
        }
        self.config.labels.extend(labels.clone());
        let ports = expose.iter().map(|port| match port.contains('/') {
            true => port.to_ascii_lowercase(),
            false => format!("{port}/tcp"),
        });
        add_to_set(&mut self.config.exposed_ports, ports);
        add_to_set(&mut self.config.volumes, volumes.iter().cloned());
        if let Some(workdir) = workdir {
            self.config.working_dir = Some(absolute(self.workdir(), workdir));
        }
        let set = |field: &mut Option<String>, value: &Option<String>| {
            if value.is_some() {
                field.clone_from(value);
            }
        };
        set(&mut self.config.user, user);
        set(&mut self.config.stop_signal, stop_signal);
        set(&mut self.author, author);
        if let Some(healthcheck) = healthcheck {
            self.config.healthcheck = Some(convert(healthcheck));
        }
        if let Some(platform) = platform {
            self.set_platform(platform);
        }
        for (name, list) in [("Shell", shell), ("OnBuild", onbuild)] {
            match list {
                Some(list) if list.is_empty() => drop(self.config.other.remove(name)),
                Some(list) => {
                    drop(self.config.other.insert(name.to_owned(), list.as_slice().into()));
                }
                None => {}
            }
        }
    }

    /// Says that the image is for a platform, in the form that is compared.
    fn set_platform(&mut self, platform: &ImagePlatform) {
        let ImagePlatform { os, architecture, variant } = platform;
        let is_same = (&self.os, &self.architecture) == (os, architecture);
        if !is_same {
            self.variant = None;
            for of_the_other in ["os.version", "os.features"] {
                self.other.remove(of_the_other);
            }
        }
        let variant = variant.clone().or_else(|| self.variant.take());
        let (os, architecture) = (os.clone(), architecture.clone());
        let platform = Platform { os, architecture, variant }.normalised();
        (self.os, self.architecture, self.variant) =
            (platform.os, platform.architecture, platform.variant);
    }

    /// Sets a variable where it stands, or at the end.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let assignment = format!("{name}={value}");
        let is_it = |env: &&mut String| env.split('=').next() == Some(name);
        match self.config.env.iter_mut().find(is_it) {
            Some(env) => *env = assignment,
            None => self.config.env.push(assignment),
        }
    }
}

fn convert(healthcheck: &op::Healthcheck) -> Healthcheck {
    let op::Healthcheck { test, interval, timeout, start_period, start_interval, retries } =
        healthcheck;
    let other = start_interval.map(|nanos| ("StartInterval".to_owned(), nanos.into()));
    Healthcheck {
        test: test.clone(),
        interval: *interval,
        timeout: *timeout,
        start_period: *start_period,
        retries: retries.map(u64::from),
        other: other.into_iter().collect(),
    }
}

fn add_to_set(set: &mut Vec<String>, items: impl Iterator<Item = String>) {
    set.extend(items);
    set.sort();
    set.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ImageConfig {
        let mut config = ImageConfig::empty(&"linux/amd64".parse::<Platform>().expect("good"));
        config.config.env = vec!["PATH=/bin".into(), "A=1".into(), "B=2".into()];
        config.config.cmd = Some(vec!["sh".into()]);
        config
    }

    fn applied(patch: &ConfigPatch) -> ImageConfig {
        let mut config = config();
        config.apply(patch);
        config
    }

    fn argv(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_empty_patch_changes_nothing() {
        assert_eq!(applied(&ConfigPatch::default()), config());
    }

    #[test]
    fn a_variable_keeps_its_place_and_a_new_one_comes_last() {
        let env = vec![("A".into(), "x=y".into()), ("AA".into(), String::new())];
        let config = applied(&ConfigPatch { env, ..ConfigPatch::default() });
        assert_eq!(config.config.env, ["PATH=/bin", "A=x=y", "B=2", "AA="]);
    }

    #[test]
    fn an_entrypoint_drops_the_inherited_command_only() {
        let entrypoint = argv(&["/init"]);
        let patch = ConfigPatch { entrypoint: entrypoint.clone(), ..ConfigPatch::default() };
        assert_eq!(applied(&patch).config.cmd, None);
        let patch = ConfigPatch { entrypoint, cmd: argv(&["x"]), ..ConfigPatch::default() };
        assert_eq!(applied(&patch).config.cmd, argv(&["x"]));
        let patch = ConfigPatch { entrypoint: argv(&[]), ..ConfigPatch::default() };
        assert_eq!(applied(&patch).config.entrypoint, None);
    }

    #[test]
    fn what_docker_adds_is_replaced_and_an_empty_list_takes_it_away() {
        let mut config = config();
        let check = op::Healthcheck {
            test: vec!["NONE".into()],
            interval: None,
            timeout: None,
            start_period: None,
            start_interval: Some(5),
            retries: None,
        };
        let (shell, onbuild) = (argv(&["/bin/bash", "-c"]), argv(&["RUN x"]));
        let healthcheck = Some(check);
        config.apply(&ConfigPatch { shell, onbuild, healthcheck, ..ConfigPatch::default() });
        let json = serde_json::to_value(&config.config).expect("JSON");
        assert_eq!(json["Shell"], serde_json::json!(["/bin/bash", "-c"]));
        assert_eq!(json["OnBuild"], serde_json::json!(["RUN x"]));
        assert_eq!(json["Healthcheck"]["StartInterval"], 5);
        let onbuild = argv(&[]);
        config.apply(&ConfigPatch { onbuild, ..ConfigPatch::default() });
        let json = serde_json::to_value(&config.config).expect("JSON");
        assert_eq!(
            (&json["OnBuild"], &json["Shell"][0]),
            (&serde_json::Value::Null, &"/bin/bash".into())
        );
    }

    #[test]
    fn a_platform_replaces_another_whole_and_the_same_one_keeps_its_variant() {
        let set = |config: &mut ImageConfig, text: &str| {
            let mut parts = text.split('/').map(str::to_owned);
            let (os, architecture) = (parts.next().expect("one"), parts.next().expect("two"));
            let platform = ImagePlatform { os, architecture, variant: parts.next() };
            let platform = Some(Box::new(platform));
            config.apply(&ConfigPatch { platform, ..ConfigPatch::default() });
            config.platform().to_string()
        };
        let mut config = config();
        config.other.insert("os.version".to_owned(), "10".into());
        assert_eq!(set(&mut config, "linux/amd64"), "linux/amd64");
        assert!(config.other.contains_key("os.version"));
        assert_eq!(set(&mut config, "linux/arm/v6"), "linux/arm/v6");
        assert_eq!(set(&mut config, "linux/arm"), "linux/arm/v6");
        assert_eq!(set(&mut config, "linux/arm64/v8"), "linux/arm64");
        assert_eq!((config.variant, config.other.is_empty()), (None, true));
    }

    #[test]
    fn workdirs_go_below_each_other_and_never_above_the_root() {
        let mut config = config();
        for (workdir, expected) in [
            ("a", "/a"),
            ("b/./c/", "/a/b/c"),
            ("..", "/a/b"),
            ("/x//y", "/x/y"),
            ("../../../..", "/"),
        ] {
            config.apply(&ConfigPatch { workdir: Some(workdir.into()), ..ConfigPatch::default() });
            assert_eq!(config.workdir(), expected);
        }
    }

    #[test]
    fn ports_and_volumes_are_sets() {
        let patch = ConfigPatch {
            expose: vec!["80".into(), "53/UDP".into(), "80/tcp".into()],
            volumes: vec!["/b".into(), "/a".into(), "/b".into()],
            ..ConfigPatch::default()
        };
        let config = applied(&patch).config;
        assert_eq!(config.exposed_ports, ["53/udp", "80/tcp"]);
        assert_eq!(config.volumes, ["/a", "/b"]);
    }
}
