//! `config`: what a recipe says of the image's config.

use std::time::Duration;

use super::decode::{Decoder, optional};
use super::node::{Kind, Node};
use super::{keys, scalar};
use crate::plan::is_signal;
use crate::plan::op::{ConfigPatch, Healthcheck, ImagePlatform};

/// The whole of `config`.
pub(super) fn config(decoder: &Decoder<'_>, node: &Node) -> Option<ConfigPatch> {
    let map = decoder.map(node, "`config`", keys::CONFIG)?;
    let command = |key: &str| optional(&map, key, |node| command(decoder, node));
    let pairs = optional(&map, "labels", |node| decoder.pairs(node)).unwrap_or_default();
    Some(ConfigPatch {
        entrypoint: command("entrypoint"),
        cmd: command("cmd"),
        env: optional(&map, "env", |node| decoder.env(node)).unwrap_or_default(),
        labels: pairs.into_iter().collect(),
        expose: optional(&map, "expose", |node| ports(decoder, node)).unwrap_or_default(),
        volumes: optional(&map, "volumes", |node| volumes(decoder, node)).unwrap_or_default(),
        user: optional(&map, "user", |node| decoder.owner(node)),
        workdir: optional(&map, "workdir", |node| decoder.filled(node)),
        stop_signal: optional(&map, "stop_signal", |node| signal(decoder, node)),
        healthcheck: optional(&map, "healthcheck", |node| healthcheck(decoder, node)),
        shell: optional(&map, "shell", |node| list(decoder, node)),
        onbuild: optional(&map, "onbuild", |node| list(decoder, node)),
        author: optional(&map, "author", |node| decoder.text(node)),
        platform: optional(&map, "platform", |node| platform(decoder, node)).map(Box::new),
    })
}

fn platform(decoder: &Decoder<'_>, node: &Node) -> Option<ImagePlatform> {
    let text = decoder.filled(node)?;
    ImagePlatform::parse(&text).or_else(|| {
        let message = format!("`{text}` is not a platform");
        let diagnostic = decoder.source.diagnostic(node.span, message);
        decoder.report(diagnostic.help("os/arch or os/arch/variant, as linux/arm64"))
    })
}

/// A list as it is (an empty one clears), text for a shell.
fn command(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    match &node.kind {
        Kind::Seq(nodes) => nodes.iter().map(|node| decoder.text(node)).collect(),
        _ => Some(["/bin/sh", "-c", &decoder.filled(node)?].map(str::to_owned).to_vec()),
    }
}

/// A list of texts, which may be empty.
fn list(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    decoder.list(node)?.iter().map(|node| decoder.filled(node)).collect()
}

fn ports(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    let one = std::slice::from_ref(node);
    let nodes = if let Kind::Seq(nodes) = &node.kind { nodes } else { one };
    let port = |node: &Node| {
        let text = decoder.as_written(node)?;
        scalar::port(&text).or_else(|| {
            let diagnostic =
                decoder.source.diagnostic(node.span, format!("`{text}` is not a port"));
            decoder.report(diagnostic.help("1 to 65535, with /tcp, /udp or /sctp"))
        })
    };
    Some(nodes.iter().filter_map(port).collect())
}

fn volumes(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    let volumes = decoder.one_or_more(node)?;
    for volume in volumes.iter().filter(|volume| !volume.value.starts_with('/')) {
        decoder.wrong::<()>(volume.span, format!("volume `{}` is not absolute", volume.value));
    }
    Some(volumes.into_iter().map(|volume| volume.value).collect())
}

fn signal(decoder: &Decoder<'_>, node: &Node) -> Option<String> {
    let text = decoder.as_written(node)?;
    if is_signal(&text) {
        return Some(text);
    }
    let diagnostic = decoder.source.diagnostic(node.span, format!("`{text}` is not a signal"));
    decoder.report(diagnostic.help("a name like SIGTERM, or a number"))
}

fn healthcheck(decoder: &Decoder<'_>, node: &Node) -> Option<Healthcheck> {
    let plain = |test| Healthcheck {
        test,
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: None,
        retries: None,
    };
    if node.text().is_some_and(|text| text == "false") {
        return Some(plain(vec!["NONE".to_owned()]));
    }
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(plain(check(decoder, node)?));
    }
    let map = decoder.map(node, "`healthcheck`", keys::HEALTHCHECK)?;
    let nanos = |key: &str| optional(&map, key, |node| nanos(decoder, node));
    let test = decoder.required(&map, "test").and_then(|node| check(decoder, node));
    Some(Healthcheck {
        interval: nanos("interval"),
        timeout: nanos("timeout"),
        start_period: nanos("start_period"),
        start_interval: nanos("start_interval"),
        retries: optional(&map, "retries", |node| decoder.integer(node)),
        test: test?,
    })
}

fn check(decoder: &Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    let list = matches!(node.kind, Kind::Seq(_));
    let mut test = vec![if list { "CMD" } else { "CMD-SHELL" }.to_owned()];
    test.extend(decoder.words(node)?);
    Some(test)
}

fn nanos(decoder: &Decoder<'_>, node: &Node) -> Option<u64> {
    let duration: Duration = decoder.duration(node)?;
    // The config's field is a signed 64-bit number.
    match i64::try_from(duration.as_nanos()) {
        Ok(nanos) => u64::try_from(nanos).ok(),
        Err(_) => decoder.wrong(node.span, "the duration is too long"),
    }
}
