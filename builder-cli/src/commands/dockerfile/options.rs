//! The options of the command line, as lowering takes them.

use std::collections::BTreeMap;
use std::path::Path;

use builder_core::dockerfile::ast::Check;
use builder_core::dockerfile::{Context, Options, git_reference, lint};
use builder_core::image::Platform;
use builder_core::plan::op::{Network, Ulimit};

use super::context::ignored;
use crate::args::{Allowed, RecipeArgs, RunNetworkArg};
use crate::error::CliError;
use crate::files;
use crate::settings::Settings;

pub(super) fn options(
    args: &RecipeArgs,
    target: Option<&str>,
    context: Option<Context>,
    settings: &Settings,
) -> Result<Options, CliError> {
    let docker = &args.docker;
    let contexts = docker.contexts.iter().map(|(name, place)| Ok((name.clone(), named(place)?)));
    let network = match docker.network {
        None | Some(RunNetworkArg::Default | RunNetworkArg::Host) => Network::Host,
        Some(RunNetworkArg::None) => Network::None,
    };
    let ulimit = |limit: &crate::values::UlimitArg| Ulimit {
        name: limit.name.clone(),
        soft: limit.soft,
        hard: limit.hard,
    };
    Ok(Options {
        context,
        contexts: contexts.collect::<Result<BTreeMap<_, _>, CliError>>()?,
        build_args: build_args(&docker.build_args, settings),
        target: target.map(str::to_owned),
        network,
        hosts: docker.hosts.clone(),
        shm_size: docker.shm_size,
        ulimits: docker.ulimits.iter().map(ulimit).collect(),
        insecure: docker.allow.contains(&Allowed::Insecure),
        build_platform: Platform::host().to_string(),
        target_platform: docker.platform.as_ref().map(ToString::to_string),
        all_stages: false,
    })
}

/// The checks that the arguments ask for instead of the file's own.
pub(super) fn checks(options: &Options) -> Result<Option<Check>, CliError> {
    let text = options.build_args.get("BUILDKIT_DOCKERFILE_CHECK");
    let checks = text.map(|text| lint::options(text)).transpose();
    checks.map_err(|why| CliError::BadChecks { why })
}

/// What has no value takes that of the environment, if there is one.
fn build_args(args: &[String], settings: &Settings) -> BTreeMap<String, String> {
    let pair = |arg: &String| match arg.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((arg.clone(), settings.variable(arg)?)),
    };
    args.iter().filter_map(pair).collect()
}

/// What `--build-context NAME=` says.
fn named(place: &str) -> Result<Context, CliError> {
    if let Some(reference) = place.strip_prefix("docker-image://") {
        return Ok(Context::Image(reference.to_owned()));
    }
    if let Some(layout) = place.strip_prefix("oci-layout://") {
        let (path, tag) = match layout.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (layout, None),
        };
        // `path@sha256:...` names a manifest.
        let (path, tag) = match path.rsplit_once('@') {
            Some((path, algorithm)) => (path, tag.map(|digest| format!("{algorithm}:{digest}"))),
            None => (path, tag),
        };
        return Ok(Context::Layout { path: files::absolute(Path::new(path))?, tag });
    }
    let dir = Path::new(place);
    if !dir.exists()
        && let Some(git) = git_reference(place)
    {
        let git = git.map_err(|_| CliError::BadContext { context: place.to_owned() })?;
        return Ok(Context::Git(git));
    }
    let path = files::absolute(dir)?;
    let ignore = ignored(&path, None)?;
    Ok(Context::Local { path, ignore })
}
