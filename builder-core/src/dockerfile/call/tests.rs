use std::path::Path;

use super::super::lint::Checks;
use super::super::parse;
use super::*;

const TEXT: &str = "\
# VERSION of it
ARG VERSION=1
ARG BASE=image:$VERSION
ARG UNUSED=2
# base is common
FROM $BASE AS base
ARG TARGETOS
RUN --mount=type=cache,target=/c --mount=type=secret,id=token,required make
FROM alpine AS tool
ARG TOOL
RUN --mount=type=ssh --mount=type=secret,target=/a/b \\
  fetch
FROM other AS apart
ARG APART
FROM base
# FLAGS for it
ARG FLAGS=\"-O $VERSION\"
ARG VERSION
COPY --from=tool /x /y
";

fn read(text: &str) -> (SourceFile, Dockerfile) {
    let source = SourceFile::new(Path::new("Dockerfile"), text);
    let file = parse(&source).expect("it is one");
    (source, file)
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn targets_are_told_as_text_and_as_json() {
    let (source, file) = read(TEXT);
    let found = targets(&file, &source);
    insta::assert_snapshot!(found.to_string(), @r"
    TARGET    DESCRIPTION
    base      is common
    tool      
    apart     
    (default) 
    ");
    let json = serde_json::to_value(&found.targets).expect("it is data");
    insta::assert_snapshot!(json[0], @r#"{"name":"base","description":"is common","base":"$BASE","location":{"ranges":[{"start":{"line":6},"end":{"line":6}}]}}"#);
    insta::assert_snapshot!(json[3], @r#"{"default":true,"base":"base","location":{"ranges":[{"start":{"line":15},"end":{"line":15}}]}}"#);
}

#[test]
fn an_outline_is_of_what_the_target_needs() {
    let (source, file) = read(TEXT);
    let predefined = pairs(&[("TARGETOS", "linux")]);
    let given = pairs(&[("TOOL", "hammer")]);
    let found = outline(&file, &source, None, &given, &predefined).expect("it can be told");
    insta::assert_snapshot!(found.to_string(), @r"
    BUILD ARG   VALUE     DESCRIPTION
    VERSION     1         of it
    BASE        image:1   
    TOOL        hammer    
    FLAGS       -O        for it

    SECRET   REQUIRED
    token    true
    b        

    SSH       REQUIRED
    default   

    ");
    assert_eq!(found.cache[0].id, "/c");
    let json = serde_json::to_value(&found).expect("it is data");
    insta::assert_snapshot!(json["secrets"][1], @r#"{"name":"b","location":{"ranges":[{"start":{"line":11},"end":{"line":11}},{"start":{"line":12},"end":{"line":12}}]}}"#);
    let found = outline(&file, &source, Some("APART"), &given, &predefined).expect("told");
    insta::assert_snapshot!(found.to_string(), @r"
    TARGET: apart

    BUILD ARG   VALUE   DESCRIPTION
    APART               

    ");
    let wrong = outline(&file, &source, Some("toool"), &given, &predefined).expect_err("none");
    assert_eq!(
        wrong.to_string(),
        "target stage \"toool\" could not be found (did you mean `tool`?)"
    );
}

#[test]
fn a_report_has_warnings_and_the_error() {
    let (source, file) = read("FROM a as b\n");
    let warnings = Checks::new(&file, &source, None).finish();
    let error = source.diagnostic((5..6).into(), "no such image");
    let report = report("Dockerfile", &source, &warnings, Some(&error));
    let json = serde_json::to_value(&report).expect("it is data");
    assert_eq!(json["warnings"][0]["ruleName"], "FromAsCasing");
    assert_eq!(json["warnings"][0]["location"]["ranges"][0]["end"]["line"], 1);
    assert_eq!(json["sources"][0]["data"], "RlJPTSBhIGFzIGIK");
    assert_eq!(json["buildError"]["message"], "no such image");
    assert_eq!(json["buildError"]["location"]["ranges"][0]["start"]["line"], 1);
}
