//! The rules, as `BuildKit` 0.32 names and describes them.

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which `# check=` takes.
    pub name: &'static str,
    /// What it is about.
    pub description: &'static str,
    /// Where more is said of it; empty where nothing is.
    pub url: &'static str,
    /// Whether it is checked only where it is asked for.
    pub experimental: bool,
}

const fn rule(name: &'static str, url: &'static str, description: &'static str) -> Rule {
    Rule { name, description, url, experimental: false }
}

macro_rules! page {
    ($name:literal) => {
        concat!("https://docs.docker.com/go/dockerfile/rule/", $name, "/")
    };
}

pub(super) const STAGE_NAME_CASING: Rule =
    rule("StageNameCasing", page!("stage-name-casing"), "Stage names should be lowercase");
pub(super) const FROM_AS_CASING: Rule = rule(
    "FromAsCasing",
    page!("from-as-casing"),
    "The 'as' keyword should match the case of the 'from' keyword",
);
pub(super) const NO_EMPTY_CONTINUATION: Rule = rule(
    "NoEmptyContinuation",
    page!("no-empty-continuation"),
    "Empty continuation lines will become errors in a future release",
);
pub(super) const CONSISTENT_INSTRUCTION_CASING: Rule = rule(
    "ConsistentInstructionCasing",
    page!("consistent-instruction-casing"),
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
);
pub(super) const DUPLICATE_STAGE_NAME: Rule =
    rule("DuplicateStageName", page!("duplicate-stage-name"), "Stage names should be unique");
pub(super) const RESERVED_STAGE_NAME: Rule = rule(
    "ReservedStageName",
    page!("reserved-stage-name"),
    "Reserved words should not be used as stage names",
);
pub(super) const JSON_ARGS_RECOMMENDED: Rule = rule(
    "JSONArgsRecommended",
    page!("json-args-recommended"),
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
);
pub(super) const MAINTAINER_DEPRECATED: Rule = rule(
    "MaintainerDeprecated",
    page!("maintainer-deprecated"),
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
);
pub(super) const UNDEFINED_ARG_IN_FROM: Rule = rule(
    "UndefinedArgInFrom",
    page!("undefined-arg-in-from"),
    "FROM command must use declared ARGs",
);
pub(super) const WORKDIR_RELATIVE_PATH: Rule = rule(
    "WorkdirRelativePath",
    page!("workdir-relative-path"),
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
);
pub(super) const UNDEFINED_VAR: Rule =
    rule("UndefinedVar", page!("undefined-var"), "Variables should be defined before their use");
pub(super) const MULTIPLE_INSTRUCTIONS_DISALLOWED: Rule = rule(
    "MultipleInstructionsDisallowed",
    page!("multiple-instructions-disallowed"),
    "Multiple instructions of the same type should not be used in the same stage",
);
pub(super) const LEGACY_KEY_VALUE_FORMAT: Rule = rule(
    "LegacyKeyValueFormat",
    page!("legacy-key-value-format"),
    "Legacy key/value format with whitespace separator should not be used",
);
pub(super) const INVALID_BASE_IMAGE_PLATFORM: Rule = rule(
    "InvalidBaseImagePlatform",
    "",
    "Base image platform does not match expected target platform",
);
pub(super) const REDUNDANT_TARGET_PLATFORM: Rule = rule(
    "RedundantTargetPlatform",
    page!("redundant-target-platform"),
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
);
pub(super) const SECRETS_USED_IN_ARG_OR_ENV: Rule = rule(
    "SecretsUsedInArgOrEnv",
    page!("secrets-used-in-arg-or-env"),
    "Sensitive data should not be used in the ARG or ENV commands",
);
pub(super) const INVALID_DEFAULT_ARG_IN_FROM: Rule = rule(
    "InvalidDefaultArgInFrom",
    page!("invalid-default-arg-in-from"),
    "Default value for global ARG results in an empty or invalid base image name",
);
pub(super) const FROM_PLATFORM_FLAG_CONST_DISALLOWED: Rule = rule(
    "FromPlatformFlagConstDisallowed",
    page!("from-platform-flag-const-disallowed"),
    "FROM --platform flag should not use a constant value",
);
pub(super) const COPY_IGNORED_FILE: Rule = rule(
    "CopyIgnoredFile",
    page!("copy-ignored-file"),
    "Attempting to Copy file that is excluded by .dockerignore",
);
pub(super) const INVALID_DEFINITION_DESCRIPTION: Rule = Rule {
    experimental: true,
    ..rule(
        "InvalidDefinitionDescription",
        page!("invalid-definition-description"),
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    )
};
pub(super) const EXPOSE_PROTO_CASING: Rule = rule(
    "ExposeProtoCasing",
    page!("expose-proto-casing"),
    "Protocol in EXPOSE instruction should be lowercase",
);
pub(super) const EXPOSE_INVALID_FORMAT: Rule = rule(
    "ExposeInvalidFormat",
    page!("expose-invalid-format"),
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
);

/// Every rule, in `BuildKit`'s order.
pub const RULES: [Rule; 22] = [
    STAGE_NAME_CASING,
    FROM_AS_CASING,
    NO_EMPTY_CONTINUATION,
    CONSISTENT_INSTRUCTION_CASING,
    DUPLICATE_STAGE_NAME,
    RESERVED_STAGE_NAME,
    JSON_ARGS_RECOMMENDED,
    MAINTAINER_DEPRECATED,
    UNDEFINED_ARG_IN_FROM,
    WORKDIR_RELATIVE_PATH,
    UNDEFINED_VAR,
    MULTIPLE_INSTRUCTIONS_DISALLOWED,
    LEGACY_KEY_VALUE_FORMAT,
    INVALID_BASE_IMAGE_PLATFORM,
    REDUNDANT_TARGET_PLATFORM,
    SECRETS_USED_IN_ARG_OR_ENV,
    INVALID_DEFAULT_ARG_IN_FROM,
    FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    COPY_IGNORED_FILE,
    INVALID_DEFINITION_DESCRIPTION,
    EXPOSE_PROTO_CASING,
    EXPOSE_INVALID_FORMAT,
];
