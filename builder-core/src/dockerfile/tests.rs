//! Whole files, and each instruction in its forms.

use std::path::Path;
use std::time::Duration;

use super::ast::*;
use super::*;

fn file(text: &str) -> SourceFile {
    SourceFile::new(Path::new("Dockerfile"), text)
}

fn read(text: &str) -> Dockerfile {
    parse(&file(text)).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"))
}

/// The mistakes, each `line:column message (help)`.
fn faults(text: &str) -> Vec<String> {
    let faults = parse(&file(text)).expect_err(text);
    faults.iter().map(|fault| fault.to_string().replace("Dockerfile:", "")).collect()
}

/// The one instruction of a file.
fn kind(text: &str) -> InstructionKind {
    let mut file = read(&format!("FROM scratch\n{text}\n"));
    assert_eq!(file.stages[0].instructions.len(), 1, "{text}");
    file.stages[0].instructions.remove(0).kind
}

/// What is wrong with the one instruction of a file.
fn fault(text: &str) -> String {
    let mut faults = faults(&format!("FROM scratch\n{text}\n"));
    assert_eq!(faults.len(), 1, "{text}: {faults:?}");
    let fault = faults.remove(0);
    fault.split_once(": ").map_or(fault.clone(), |(_, message)| message.to_owned())
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.value.as_str()).collect()
}

fn shell(text: &str) -> CommandLine {
    CommandLine::Shell(text.to_owned())
}

fn exec(argv: &[&str]) -> CommandLine {
    CommandLine::Exec(argv.iter().map(|arg| (*arg).to_owned()).collect())
}

#[test]
fn a_file_is_arguments_and_stages() {
    let text = "\u{feff}# syntax=docker/dockerfile:1\n\
        # escape=`\n\
        # TAG which one\n\
        ARG TAG=1 NAME\n\
        # Build is not this\n\
        # build makes it\n\
        from --platform=$P base:$TAG as Build\n\
        RUN a `\n  b\n\
        FROM Build\n";
    let read = read(text);
    assert_eq!(read.escape(), '`');
    let args: Vec<_> = read.global_args().collect();
    assert_eq!(args[0].name.value, "TAG");
    assert_eq!(args[0].description.as_deref(), Some("which one"));
    assert_eq!(args[0].value.as_ref().map(|word| word.value.as_str()), Some("1"));
    assert_eq!((args[1].name.value.as_str(), args[1].value.as_ref()), ("NAME", None));
    let stage = &read.stages[0];
    assert_eq!(stage.name.as_ref().map(|word| word.value.as_str()), Some("build"));
    assert_eq!(stage.description.as_deref(), Some("makes it"));
    assert_eq!(stage.platform.as_ref().map(|word| word.value.as_str()), Some("$P"));
    assert_eq!(stage.original, "from --platform=$P base:$TAG as Build");
    let (mark, name) = stage.alias.as_ref().expect("it has one");
    assert_eq!((mark.value.as_str(), name.value.as_str()), ("as", "Build"));
    assert_eq!(stage.instructions[0].original, "RUN a   b");
    assert_eq!(read.stage("BUILD"), Some(0));
    assert_eq!(read.stages[1].image.value, "Build");
    let source = file(text);
    assert_eq!(source.slice(stage.image.span), "base:$TAG");
    assert_eq!(source.slice(stage.instructions[0].span), "RUN a `\n  b");
    assert_eq!(source.slice(stage.platform.as_ref().expect("given").span), "$P");
}

#[test]
fn commands_have_two_forms() {
    assert_eq!(kind("CMD a  b"), InstructionKind::Cmd(shell("a  b")));
    assert_eq!(kind("cmd [\"a\",\"b c\"]"), InstructionKind::Cmd(exec(&["a", "b c"])));
    assert_eq!(kind("CMD"), InstructionKind::Cmd(shell("")));
    assert_eq!(kind("CMD []"), InstructionKind::Cmd(exec(&[])));
    assert_eq!(kind("CMD ['a']"), InstructionKind::Cmd(shell("['a']")));
    assert_eq!(kind("ENTRYPOINT [\"a\"] b"), InstructionKind::Entrypoint(shell("[\"a\"] b")));
    assert_eq!(
        kind("SHELL [\"a\", \"-c\"]"),
        InstructionKind::Shell(vec!["a".into(), "-c".into()])
    );
    assert_eq!(
        fault("CMD [1]"),
        "when using JSON array syntax, arrays must be comprised of strings only"
    );
    assert_eq!(fault("SHELL a b"), "SHELL requires the arguments to be in JSON form");
    assert_eq!(fault("SHELL []"), "SHELL requires at least one argument");
    assert_eq!(fault("CMD --a b"), "unknown flag: --a");
}

#[test]
fn run_takes_flags_and_heredocs() {
    let InstructionKind::Run(run) = kind(
        "RUN --mount=type=cache,target=/a --mount=target=/b,from=c --network=none \
         --security=insecure --device=d make",
    ) else {
        panic!("it is RUN")
    };
    assert_eq!(run.command, shell("make"));
    assert_eq!(run.mounts.len(), 2);
    assert_eq!(run.mounts[1].from.as_deref(), Some("c"));
    assert_eq!((run.network, run.security), (RunNetwork::None, Security::Insecure));
    assert_eq!(texts(&run.devices), ["d"]);
    assert_eq!(
        fault("RUN --network=nnoe a"),
        "invalid network mode \"nnoe\" (did you mean `none`?)"
    );
    assert_eq!(fault("RUN --security=x a"), "security \"x\" is not valid");
    assert_eq!(fault("RUN --mont=x a"), "unknown flag: --mont (did you mean `mount`?)");
    assert!(
        fault("RUN --mount=from=$a b").starts_with("'from' doesn't support variable expansion")
    );

    let text = "FROM a\nRUN <<A cat - <<-'B' > f && x\none\n\tA\nA\n\ttwo\n\tB\nRUN z\n";
    let file = read(text);
    let InstructionKind::Run(run) = &file.stages[0].instructions[0].kind else {
        panic!("it is RUN")
    };
    assert_eq!(run.command, shell("<<A cat - <<-'B' > f && x"));
    let found: Vec<_> = run
        .heredocs
        .iter()
        .map(|it| (it.name.as_str(), it.expand, it.chomp, it.content.as_str()))
        .collect();
    assert_eq!(found, [("A", true, false, "one\n\tA\n"), ("B", false, true, "\ttwo\n")]);
    assert_eq!(run.heredocs[1].chomped(), "two\n");
    assert_eq!(file.stages[0].instructions[0].original, "RUN <<A cat - <<-'B' > f && x");
    assert_eq!(file.stages[0].instructions.len(), 2);
    let source = self::file(text);
    assert!(source.slice(file.stages[0].instructions[0].span).ends_with("\tB"));
    assert_eq!(source.slice(run.heredocs[0].span), "one\n\tA\n");
    // A JSON form and a comment open none.
    read("FROM a\nRUN [\"cat\", \"<<EOF\"]\nRUN echo '<<EOF'\nENV a=<<EOF\n");
    assert_eq!(
        faults("FROM a\nRUN <<EOF\nx\n"),
        ["2:1: unterminated heredoc (a line with `EOF` alone ends it)"]
    );
}

#[test]
fn devices_are_refused_by_name() {
    let text = "FROM a\nRUN --device=x b\nRUN c\n";
    let (source, file) = (file(text), read(text));
    let refused = |at: usize| unsupported(&source, &file.stages[0].instructions[at]);
    assert_eq!(refused(0).map(|it| it.class), Some(Class::Unsupported));
    assert_eq!(refused(1), None);
}

#[test]
fn copy_and_add_take_sources_and_a_destination() {
    let InstructionKind::Copy(copy) = kind(
        "COPY --from=0 --chown=a:b --chmod=u+x --link --parents --exclude=c --exclude=d e $f g/",
    ) else {
        panic!("it is COPY")
    };
    let text = |word: &Option<Word>| word.clone().map(|word| word.value);
    assert_eq!(text(&copy.from).as_deref(), Some("0"));
    assert_eq!(text(&copy.chown).as_deref(), Some("a:b"));
    assert_eq!(text(&copy.chmod).as_deref(), Some("u+x"));
    assert!(copy.link && copy.parents);
    assert_eq!(texts(&copy.exclude), ["c", "d"]);
    assert_eq!(copy.dest.value, "g/");
    assert_eq!(copy.sources.len(), 2);
    let InstructionKind::Add(add) =
        kind("ADD --checksum=sha256:0 --keep-git-dir=false --unpack [\"a b\", \"c\"]")
    else {
        panic!("it is ADD")
    };
    assert_eq!((add.keep_git_dir, add.unpack, add.link), (Some(false), Some(true), false));
    assert!(matches!(&add.sources[0], SourceArg::Path(word) if word.value == "a b"));
    let InstructionKind::Copy(copy) = kind("COPY <<a \"b\" <<-'c' /d/\nA $x\na\n\tC\nc") else {
        panic!("it is COPY")
    };
    let [SourceArg::Heredoc(a), SourceArg::Path(b), SourceArg::Heredoc(c)] = &copy.sources[..]
    else {
        panic!("{:?}", copy.sources)
    };
    assert_eq!((a.name.as_str(), a.chomped().as_str(), a.expand), ("a", "A $x\n", true));
    assert_eq!(b.value, "\"b\"");
    assert_eq!((c.name.as_str(), c.chomped().as_str(), c.expand), ("c", "C\n", false));
    let two = "requires at least two arguments, but only one was provided. \
               Destination could not be determined";
    assert_eq!(fault("COPY a"), format!("COPY {two}"));
    assert_eq!(fault("ADD"), format!("ADD {two}"));
    assert_eq!(fault("COPY a <<EOF\nEOF"), "COPY cannot accept a heredoc as a destination");
    assert_eq!(fault("ADD --parents a b"), "unknown flag: --parents");
    assert_eq!(fault("COPY --form=a b c"), "unknown flag: --form (did you mean `from`?)");
}

#[test]
fn pairs_are_of_two_forms() {
    let pairs = |text: &str| match kind(text) {
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => pairs
            .into_iter()
            .map(|pair| (pair.key.value, pair.value.value, pair.legacy))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let pair = |key: &str, value: &str, legacy| (key.to_owned(), value.to_owned(), legacy);
    assert_eq!(
        pairs(r#"ENV a=1 b="2 3" c=4\ 5 d="#),
        [
            pair("a", "1", false),
            pair("b", "\"2 3\"", false),
            pair("c", r"4\ 5", false),
            pair("d", "", false)
        ]
    );
    assert_eq!(pairs("ENV a b c=d"), [pair("a", "b c=d", true)]);
    assert_eq!(pairs("LABEL \"a b\"=c=d"), [pair("\"a b\"", "c=d", false)]);
    assert_eq!(fault("ENV a"), "ENV must have two arguments");
    assert_eq!(fault("ENV"), "ENV requires at least one argument");
    assert_eq!(fault("LABEL =a"), "LABEL names can not be blank");
    assert_eq!(
        fault("ENV a=b c"),
        "Syntax error - can't find = in \"c\". Must be of the form: name=value"
    );
    assert_eq!(fault("ARG =a"), "ARG names can not be blank");
    assert_eq!(fault("ARG"), "ARG requires at least one argument");
}

#[test]
fn what_takes_one_argument_takes_the_rest() {
    assert!(matches!(kind("USER a b"), InstructionKind::User(word) if word.value == "a b"));
    assert!(
        matches!(kind("WORKDIR  /a b "), InstructionKind::Workdir(word) if word.value == "/a b")
    );
    assert!(
        matches!(kind("MAINTAINER A <a@b>"), InstructionKind::Maintainer(word) if word.value == "A <a@b>")
    );
    assert!(
        matches!(kind("STOPSIGNAL --x KILL"), InstructionKind::Stopsignal(word) if word.value == "KILL")
    );
    for keyword in ["USER", "WORKDIR", "MAINTAINER", "STOPSIGNAL"] {
        assert_eq!(fault(keyword), format!("{keyword} requires exactly one argument"));
    }
    assert!(
        matches!(kind("EXPOSE 80 443/tcp 8"), InstructionKind::Expose(words) if texts(&words) == ["443/tcp", "8", "80"])
    );
    assert!(
        matches!(kind("VOLUME [\"/a b\", \" /c \"]"), InstructionKind::Volume(words) if texts(&words) == ["/a b", "/c"])
    );
    assert!(
        matches!(kind("VOLUME /a /b"), InstructionKind::Volume(words) if texts(&words) == ["/a", "/b"])
    );
    assert_eq!(fault("EXPOSE"), "EXPOSE requires at least one argument");
    assert_eq!(fault("VOLUME []"), "VOLUME requires at least one argument");
    assert_eq!(fault("VOLUME [\"\"]"), "VOLUME specified can not be an empty string");
}

#[test]
fn a_health_check_is_a_command_with_times_or_none() {
    assert_eq!(kind("HEALTHCHECK none"), InstructionKind::Healthcheck(Healthcheck::None));
    let check = kind("HEALTHCHECK --interval=1m --timeout=0 --retries=3 cmd [\"a\"]");
    assert_eq!(
        check,
        InstructionKind::Healthcheck(Healthcheck::Check {
            command: exec(&["a"]),
            interval: Some(Duration::from_secs(60)),
            timeout: None,
            start_period: None,
            start_interval: None,
            retries: Some(3),
        })
    );
    let table = [
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK curl x", "Unknown type \"CURL\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=5 CMD a", "time: missing unit in duration \"5\""),
        ("HEALTHCHECK --interval=1us CMD a", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=-1s CMD a", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD a", "--retries is no number: \"x\""),
        ("HEALTHCHECK --retires=1 CMD a", "unknown flag: --retires (did you mean `retries`?)"),
    ];
    for (text, message) in table {
        assert_eq!(fault(text), message);
    }
}

#[test]
fn a_trigger_is_kept_and_read_where_it_is_used() {
    let trigger = |text: &str| match kind(text) {
        InstructionKind::Onbuild(word) => word.value,
        other => panic!("{other:?}"),
    };
    assert_eq!(trigger("onbuild  RUN a \\\n b"), "RUN a  b");
    let heredoc = trigger("ONBUILD COPY <<-A /b\n\tx\n\tA");
    assert_eq!(heredoc, "COPY <<-A /b\n\tx\nA");
    let read = parse_trigger(&file(&heredoc)).expect("it is one");
    assert!(matches!(read.kind, InstructionKind::Copy(_)));
    // What is wrong with it is found there, as in BuildKit.
    assert_eq!(trigger("ONBUILD FOO"), "FOO");
    let wrong = |text: &str| parse_trigger(&file(text)).expect_err(text)[0].message.clone();
    assert_eq!(wrong("FOO"), "unknown instruction: FOO");
    assert_eq!(wrong(""), "onbuild trigger should be a single expression");
    assert_eq!(wrong("RUN a\nRUN b"), "onbuild trigger should be a single expression");
    assert_eq!(wrong("FROM a"), "FROM isn't allowed as an ONBUILD trigger");
    assert_eq!(fault("ONBUILD"), "ONBUILD requires at least one argument");
    assert_eq!(
        fault("ONBUILD onbuild RUN a"),
        "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
    );
    assert_eq!(fault("ONBUILD from a"), "FROM isn't allowed as an ONBUILD trigger");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text =
        "ARG a\nRUN early\nFORM x\nFROM a b\nFROM a as 1x\nCOPY --chonw=1 \\\n  a b\n# c\nUSER\n";
    assert_eq!(
        faults(text),
        [
            "2:1: no build stage in current context (only ARG may stand before the first FROM)",
            "3:1: unknown instruction: FORM (did you mean `FROM`?)",
            "4:1: FROM requires either one or three arguments",
            "5:11: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
            "6:6: unknown flag: --chonw (did you mean `chown`?)",
            "9:1: USER requires exactly one argument",
        ]
    );
    assert_eq!(faults("RUN a\nRUN b\nFROM c").len(), 1);
    assert_eq!(faults(""), ["the Dockerfile cannot be empty"]);
    assert_eq!(faults("# only\n# this\n"), ["2:1: file with no instructions"]);
    assert_eq!(faults("ARG a"), ["dockerfile contains no stages to build"]);
    assert_eq!(faults(&"FOO\n".repeat(1000)).len(), 100);
}

#[test]
fn empty_lines_within_an_instruction_are_told() {
    let text = "FROM a\nRUN b \\\n\n  c\nRUN d \\\n# e\n  f\n";
    let found = read(text).empty_continuations;
    let source = file(text);
    assert_eq!(found.iter().map(|span| source.slice(*span)).collect::<Vec<_>>(), ["  c"]);
}

#[test]
fn long_files_and_long_lines_are_read() {
    let many = "FROM a\n".to_owned() + &"RUN echo a && \\\n  b\n".repeat(1000);
    assert_eq!(read(&many).stages[0].instructions.len(), 1000);
    let long =
        format!("FROM a\nRUN {}\nENV {}\n", "x ".repeat(500_000), "a=\"b c\" ".repeat(100_000));
    let file = read(&long);
    assert!(
        matches!(&file.stages[0].instructions[1].kind, InstructionKind::Env(pairs) if pairs.len() == 100_000)
    );
    let joined = format!("FROM a\nENV {}\n", "a=b \\\n".repeat(100_000));
    assert!(
        matches!(&read(&joined).stages[0].instructions[0].kind, InstructionKind::Env(pairs) if pairs.len() == 100_000)
    );
}
