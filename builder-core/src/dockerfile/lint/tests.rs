use std::path::Path;

use super::super::{expose, parse};
use super::*;

/// What the file shows by itself: `rule line detail`.
fn found(text: &str) -> Vec<String> {
    with(text, |_, _| {})
}

fn with(text: &str, more: impl FnOnce(&mut Checks<'_>, &Dockerfile)) -> Vec<String> {
    let source = SourceFile::new(Path::new("D"), text);
    let file = parse(&source).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"));
    let mut checks = Checks::new(&file, &source, None);
    more(&mut checks, &file);
    let shown = |it: Warning| {
        let lines = match it.location.line == it.end_line {
            true => it.end_line.to_string(),
            false => format!("{}-{}", it.location.line, it.end_line),
        };
        format!("{} {lines} {}", it.rule, it.detail)
    };
    checks.finish().into_iter().map(shown).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn names_and_cases_of_a_file_are_checked() {
    let table: [(&str, &[&str]); 11] = [
        ("FROM a AS b\nRUN c\n", &[]),
        ("FROM a AS Bc", &["StageNameCasing 1 Stage name 'Bc' should be lowercase"]),
        ("FROM a as b", &["FromAsCasing 1 'as' and 'FROM' keywords' casing do not match"]),
        ("from a AS b", &["FromAsCasing 1 'AS' and 'from' keywords' casing do not match"]),
        (
            "From a AS b\nRUN c\nRUN d",
            &[
                "ConsistentInstructionCasing 1 Command 'From' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "arg x\nFROM a\nrun b\nrun c \\\n d",
            &[
                "ConsistentInstructionCasing 2 Command 'FROM' should match the case of the command majority (lowercase)",
            ],
        ),
        (
            "FROM a AS b\nFROM c AS B",
            &[
                "StageNameCasing 2 Stage name 'B' should be lowercase",
                "DuplicateStageName 2 Duplicate stage name \"b\", stage names should be unique",
            ],
        ),
        (
            "FROM a AS scratch",
            &[
                "ReservedStageName 1 Stage name should not use the same name as reserved stage \"scratch\"",
            ],
        ),
        ("FROM a\nRUN b \\\n\n  c\n", &["NoEmptyContinuation 4 Empty continuation line"]),
        (
            "FROM a\nMAINTAINER b",
            &[
                "MaintainerDeprecated 2 Maintainer instruction is deprecated in favor of using label",
            ],
        ),
        (
            "FROM a\nCMD [\"a\"]\nCMD [\"b\", \\\n\"c\"]\nCMD [\"d\"]\nFROM b\nCMD [\"e\"]",
            &[
                "MultipleInstructionsDisallowed 2 Multiple CMD instructions should not be used in the same stage because only the last one will be used",
                "MultipleInstructionsDisallowed 3-4 Multiple CMD instructions should not be used in the same stage because only the last one will be used",
            ],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn rules_are_skipped_and_asked_for() {
    let both = "FROM a as B";
    let names = |head: &str| {
        let text = format!("{head}{both}");
        found(&text)
            .iter()
            .map(|it| it.split(' ').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["StageNameCasing", "FromAsCasing"]);
    assert_eq!(names("# check=skip=FromAsCasing\n"), ["StageNameCasing"]);
    assert_eq!(names("# check=skip=all\n"), Vec::<String>::new());
    // Above one instruction it counts for that one.
    assert_eq!(names("FROM x as y\n# check=skip=all\n"), ["FromAsCasing"]);
    let described = "# check=skip=all;experimental=all\n\n# b it is\nARG b\n# no\nARG c d\n# no\nARG e\n\
        # stage\nFROM a AS f\n# g\n#\nARG g";
    let format = "should follow the format:";
    assert_eq!(
        found(described),
        [
            format!(
                "InvalidDefinitionDescription 6 Comment for ARG {format} `# <arg_key> <description>`"
            ),
            format!("InvalidDefinitionDescription 8 Comment for ARG {format} `# e <description>`"),
            format!(
                "InvalidDefinitionDescription 10 Comment for FROM {format} `# f <description>`"
            ),
        ]
    );
    assert_eq!(found("# no\nARG b\nFROM a"), Vec::<String>::new());
}

#[test]
fn what_is_given_instead_counts_and_errors_fail() {
    let text = "# check=error=true\nFROM a as b\n";
    let source = SourceFile::new(Path::new("D"), text);
    let file = parse(&source).expect("it is one");
    let warnings = Checks::new(&file, &source, None).finish();
    let failed = violation(&file, None, &warnings).expect("it is asked for");
    assert_eq!(failed.message, "lint violation found for rules: FromAsCasing");
    assert_eq!(violation(&file, None, &[]), None);
    let instead = options("skip=FromAsCasing").expect("good");
    assert!(Checks::new(&file, &source, Some(&instead)).finish().is_empty());
    assert_eq!(violation(&file, Some(&instead), &warnings), None);
    assert_eq!(options("what"), Err("invalid check option \"what\"".to_owned()));
    assert_eq!(options(" "), Ok(Check::default()));
}

#[test]
fn every_rule_has_a_page_and_a_name_of_its_own() {
    let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    let without: Vec<_> = RULES.iter().filter(|rule| rule.url.is_empty()).collect();
    assert!(matches!(without[..], [rule] if rule.name == "InvalidBaseImagePlatform"));
}

#[test]
fn bases_must_have_names_without_arguments() {
    let check = |text: &str| {
        with(text, |checks, _| checks.default_bases(&[("TARGETARCH".into(), "amd64".into())]))
    };
    let bad = |line: u32, written: &str| {
        vec![format!(
            "InvalidDefaultArgInFrom {line} Default value for ARG {written} results in empty or invalid base image name"
        )]
    };
    assert_eq!(check("ARG T\nFROM a:$T"), bad(2, "a:$T"));
    assert_eq!(check("ARG T\nFROM $T"), bad(2, "$T"));
    assert_eq!(check("ARG T=1\nFROM a:${T}-$TARGETARCH"), Vec::<String>::new());
    assert_eq!(check("FROM a:${T:-1}"), Vec::<String>::new());
    assert_eq!(check("FROM a${T?}"), Vec::<String>::new());
}

#[test]
fn variables_that_are_not_set_are_told() {
    let text = "ARG VERSION\nFROM a\nRUN b";
    let from = |unset: &[&str]| {
        with(text, |checks, file| checks.from_unset(&file.stages[0], &set(unset), &["TARGETOS"]))
    };
    assert_eq!(from(&["VERSION", "TARGETOS"]), Vec::<String>::new());
    assert_eq!(
        from(&["VERSOIN", "OTHER"]),
        [
            "UndefinedArgInFrom 2 FROM argument 'OTHER' is not declared",
            "UndefinedArgInFrom 2 FROM argument 'VERSOIN' is not declared (did you mean VERSION?)",
        ]
    );
    let run = |unset: &[&str]| {
        with(text, |checks, file| {
            checks.unset(file.stages[0].instructions[0].span, &set(unset), &["PATH", "HOME"]);
        })
    };
    assert_eq!(run(&["HOME", "BUILDKIT_SBOM_SCAN_STAGE"]), Vec::<String>::new());
    assert_eq!(
        run(&["PAHT", "X"]),
        [
            "UndefinedVar 3 Usage of undefined variable '$PAHT' (did you mean $PATH?)",
            "UndefinedVar 3 Usage of undefined variable '$X'",
        ]
    );
    let text_of_stages = "FROM a AS b\nARG IN_B\nFROM b\nUSER x\nARG LATER\nFROM c\nUSER y";
    let declared = with(text_of_stages, |checks, file| {
        for stage in &file.stages[1..] {
            checks.unset(stage.instructions[0].span, &set(&["IN_B", "LATER"]), &[]);
        }
    });
    assert_eq!(
        declared,
        [
            "UndefinedVar 4 Usage of undefined variable '$LATER'",
            "UndefinedVar 7 Usage of undefined variable '$IN_B'",
            "UndefinedVar 7 Usage of undefined variable '$LATER'",
        ]
    );
    let near = with(text, |checks, file| {
        checks.unset(file.stages[0].instructions[0].span, &set(&["G"]), &["PATH", "A", "B"]);
    });
    assert_eq!(near, ["UndefinedVar 3 Usage of undefined variable '$G' (did you mean $B?)"]);
}

#[test]
fn platforms_are_neither_constant_nor_the_default() {
    let check = |text: &str| {
        with(text, |checks, file| {
            let globals = [("TARGETPLATFORM", "linux/amd64"), ("P", "linux/arm64")];
            let globals = globals.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let scope: BTreeMap<_, _> = globals.iter().cloned().collect();
            let word = file.stages[0].platform.as_ref().expect("it has one");
            let expanded = Expander::new('\\').word(&word.value, &scope).expect("it is good");
            checks.platform(&file.stages[0], word, &expanded, &globals);
        })
    };
    assert_eq!(
        check("FROM --platform=linux/amd64 a"),
        [
            "FromPlatformFlagConstDisallowed 1 FROM --platform flag should not use constant value \"linux/amd64\""
        ]
    );
    assert_eq!(check("FROM --platform=linux/amd64 a AS b-amd64"), Vec::<String>::new());
    assert_eq!(check("FROM --platform=$P a"), Vec::<String>::new());
    assert_eq!(
        check("FROM --platform=${TARGETPLATFORM} a"),
        [
            "RedundantTargetPlatform 1 Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior"
        ]
    );
    assert_eq!(
        check("FROM --platform=$TARGTPLATFORM a"),
        [
            "UndefinedArgInFrom 1 FROM argument 'TARGTPLATFORM' is not declared (did you mean TARGETPLATFORM?)"
        ]
    );
    let other = with("FROM a", |checks, file| {
        let at = file.stages[0].span;
        checks.base_platform(at, "a", "linux/x86_64", "linux/arm64");
        checks.base_platform(at, "a", "linux/aarch64/v8", "linux/arm64");
        checks.base_platform(at, "a", "linux/arm/v6", "linux/arm/v7");
    });
    assert_eq!(
        other,
        [
            "InvalidBaseImagePlatform 1 Base image a was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build"
        ]
    );
}

#[test]
fn facts_of_instructions_are_judged() {
    let text = "from a\nenv b c\n# check=skip=all\nenv d e\n";
    let both = with(text, |checks, file| {
        for instruction in &file.stages[0].instructions {
            let span = instruction.span;
            checks.legacy_pair(span, "ENV");
            checks.secret_name(span, "ENV", "API_TOKEN");
            checks.secret_name(span, "ENV", "PUBLIC_KEY");
            checks.command(span, "CMD", &CommandLine::Shell("a".to_owned()), true);
            checks.command(span, "CMD", &CommandLine::Shell("a".to_owned()), false);
            checks.command(span, "CMD", &CommandLine::Exec(Vec::new()), true);
            checks.workdir(span, "a", false);
            checks.workdir(span, "a", true);
            checks.workdir(span, "/a", false);
            for word in ["80/TCP", "1:80", "80"] {
                checks.port(span, word, &expose::ports(word).expect("it is one"));
            }
        }
    });
    assert_eq!(
        both,
        [
            "LegacyKeyValueFormat 2 \"env key=value\" should be used instead of legacy \"env key value\" format",
            "SecretsUsedInArgOrEnv 2 Do not use ARG or ENV instructions for sensitive data (ENV \"API_TOKEN\")",
            "JSONArgsRecommended 2 JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
            "WorkdirRelativePath 2 Relative workdir \"a\" can have unexpected results if the base image changes",
            "ExposeProtoCasing 2 Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
            "ExposeInvalidFormat 2 EXPOSE instruction should not define an IP address or host-port mapping, found '1:80'",
        ]
    );
}

#[test]
fn what_the_context_leaves_out_cannot_be_copied() {
    let copied = |path: &str, ignore: &[&str]| {
        let ignore: Vec<_> = ignore.iter().map(|it| (*it).to_owned()).collect();
        let found = with("FROM a\nCOPY x /", |checks, file| {
            checks.copied(file.stages[0].instructions[0].span, "COPY", path, &ignore);
        });
        found.into_iter().next()
    };
    let told = |path: &str| {
        let what = "Attempting to Copy file";
        Some(format!("CopyIgnoredFile 2 {what} {path:?} that is excluded by .dockerignore"))
    };
    assert_eq!(copied("secret", &["secret"]), told("secret"));
    assert_eq!(copied("./d//secret/", &["d"]), told("d/secret"));
    assert_eq!(copied("a.log", &["*.log"]), told("a.log"));
    assert_eq!(copied("other", &["secret"]), None);
    assert_eq!(copied("secret", &["*", "!secret"]), None);
    assert_eq!(copied("secret", &[]), None);
    assert_eq!(copied(".", &["a"]), None);
    assert_eq!(copied(".", &["**"]), told("."));
    assert_eq!(copied("x", &["["]), None);
}
