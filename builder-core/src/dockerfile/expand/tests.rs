use super::*;

fn variables() -> BTreeMap<String, String> {
    let pairs = [
        ("A", "alpha"),
        ("EMPTY", ""),
        ("UP", "up/down/up"),
        ("DOTS", "x.y.z"),
        ("STARS", "a*b*c"),
        ("LINES", "one\ntwo"),
        ("SPACED", "  b  c "),
        ("TREE", "/src/src/main.c"),
        ("ODD", "()[]{}^$.*?|\\x"),
        ("FROM", "/src"),
        ("ONE", "$1"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn word(word: &str) -> Result<String, String> {
    let expanded = Expander::new('\\').word(word, &variables());
    expanded.map(|expanded| expanded.text).map_err(|error| error.message)
}

#[track_caller]
fn check(table: &[(&str, &str)]) {
    for (input, expected) in table {
        assert_eq!(word(input), Ok((*expected).to_owned()), "{input}");
    }
}

#[test]
fn names_end_where_they_end() {
    check(&[
        ("$A", "alpha"),
        ("${A}", "alpha"),
        ("x$A.y", "xalpha.y"),
        ("x${A}y", "xalphay"),
        ("$Ay", ""),
        ("$NONE|", "|"),
        ("$", "$"),
        ("$.", "$."),
        ("a$/b", "a$/b"),
        ("$1x", "x"),
        ("$12x", "x"),
        ("$@@", "@"),
        ("$$A", "A"),
        ("${?}${!}", ""),
        ("${1:-d}", "d"),
        ("ü$A", "üalpha"),
        ("${A}}", "alpha}"),
    ]);
}

#[test]
fn defaults_and_alternatives_mind_unset_and_empty() {
    check(&[
        ("${A-w}|${EMPTY-w}|${NONE-w}", "alpha||w"),
        ("${A:-w}|${EMPTY:-w}|${NONE:-w}", "alpha|w|w"),
        ("${A+w}|${EMPTY+w}|${NONE+w}", "w|w|"),
        ("${A:+w}|${EMPTY:+w}|${NONE:+w}", "w||"),
        ("${A?w}|${EMPTY?w}|${A:?w}", "alpha||alpha"),
        ("${NONE:-${EMPTY:-${A}}}", "alpha"),
        ("${NONE:-a b{c}", "a b{c"),
        (r"${NONE:-\$A\}}", "$A}"),
        (r#"${NONE:-"}'"}"#, "}'"),
        (r#""${NONE:-"a $A"}""#, "a alpha"),
    ]);
    assert_eq!(word("${NONE?}"), Err("NONE: is not allowed to be unset".into()));
    assert_eq!(word("${EMPTY:?}"), Err("EMPTY: is not allowed to be empty".into()));
    assert_eq!(word("${NONE:?no $A}"), Err("NONE: no alpha".into()));
}

#[test]
fn patterns_cut_the_shortest_or_the_longest() {
    check(&[
        ("${UP#*/}", "down/up"),
        ("${UP##*/}", "up"),
        ("${UP%/*}", "up/down"),
        ("${UP%%/*}", "up"),
        ("${UP#down}", "up/down/up"),
        ("${UP%?}", "up/down/u"),
        ("${DOTS%.*}|${DOTS%%.*}|${DOTS#?.}", "x.y|x|y.z"),
        (r"${STARS#a\*}|${STARS%%\**}", "b*c|a"),
        ("${A#}${A##}${A%}", "alphaalphaalpha"),
        ("${A#*}|${A##*}|", "alpha||"),
        ("${TREE#$FROM}", "/src/main.c"),
        (r"${ODD#()[]{\}^$.\*\?|\\}", "x"),
        ("${NONE#x}|${EMPTY%x}", "|"),
        ("${LINES#*e}|${LINES##*o}", "\ntwo|ne\ntwo"),
    ]);
    assert!(word(r"${A#\a}").is_err_and(|why| why.contains(r"invalid escape '\a'")));
    assert!(word("${A:#a}").is_err_and(|why| why.contains("unsupported modifier (:#)")));
}

#[test]
fn a_replacement_stands_for_the_first_or_for_every_match() {
    check(&[
        ("${UP/up/in}|${UP//up/in}", "in/down/up|in/down/in"),
        ("${TREE/$FROM/}|${TREE//$FROM/}", "/src/main.c|/main.c"),
        ("${DOTS//./}", "xyz"),
        (r"${UP//\//-}", "up-down-up"),
        (r"${UP//\//\/}", r"up\/down\/up"),
        ("${UP/*/x}|${UP/?/x}", "x|xp/down/up"),
        ("${A/z/y}${NONE//a/b}", "alpha"),
        ("${A//a/$ONE}", "$1lph$1"),
        ("${A///}", "alpha"),
    ]);
    assert!(word("${A/x}").is_err_and(|why| why.contains("missing '/'")));
    assert!(word("${A/x/y").is_err_and(|why| why.contains("missing '}'")));
}

#[test]
fn quotes_and_escapes_are_taken_away() {
    check(&[
        ("a'b c'd", "ab cd"),
        ("'$A'", "$A"),
        (r"'\'", r"\"),
        ("\"$A's\"", "alpha's"),
        (r#""a\tb\"\$\\""#, r#"a\tb"$\"#),
        (r"a\tb\$A\'", "atb$A'"),
        (r"a\\$A", r"a\alpha"),
        (r"a\", "a"),
        ("\"''\"", "''"),
        ("''", ""),
        ("a < b << c", "a < b << c"),
    ]);
    assert!(word("'a").is_err_and(|why| why.ends_with("single-quote")));
    assert!(word("\"a").is_err_and(|why| why.ends_with("double-quote")));
    assert!(word("\"a\\\"").is_err_and(|why| why.ends_with("double-quote")));
    assert!(word("it's").is_err());
}

#[test]
fn what_is_no_substitution_is_an_error() {
    for input in ["${}", "${", "${A", "${{A}", "${:-x}", "${A:", "${A:-x", "${NONE:-${A}"] {
        assert!(word(input).is_err_and(|why| why.starts_with("syntax error")), "{input}");
    }
    for input in ["${A=x}", "${A:=x}", "${A:x}", "${A x}", "${.}", "${A:}}", "${A:/x/y}"] {
        assert!(word(input).is_err_and(|why| why.starts_with("unsupported modifier")), "{input}");
    }
}

#[test]
fn an_error_names_the_word_and_the_place() {
    let error = Expander::new('\\').word("ab${A?}${NONE:?no}c", &variables()).expect_err("unset");
    assert_eq!(error.to_string(), "failed to process \"ab${A?}${NONE:?no}c\": NONE: no");
    assert_eq!(error.at, 7..18);
    let source = SourceFile::new(std::path::Path::new("D"), "USER a${}\n");
    let user = Word::new("a${}".to_owned(), 5..9);
    let error = Expander::new('\\').word(&user.value, &()).expect_err("no name");
    let diagnostic = error.diagnostic(&source, &user);
    assert_eq!(diagnostic.location.map(|at| at.column), Some(7));
}

#[test]
fn what_was_asked_for_is_told_whatever_was_used() {
    let expanded = Expander::new('\\').word("${A-$B}$C ${D:-${E}}", &variables()).expect("it is");
    let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<String>();
    assert_eq!(names(&expanded.matched), "A");
    assert_eq!(names(&expanded.unmatched), "BCDE");
}

#[test]
fn words_split_at_spaces_that_are_not_quoted() {
    let words = |word: &str| Expander::new('\\').words(word, &variables()).map(|it| it.words);
    let table: [(&str, &[&str]); 9] = [
        ("a  b", &["a", "b"]),
        ("x${SPACED}y", &["x", "b", "c", "y"]),
        ("x\"${SPACED}\"y", &["x  b  c y"]),
        (r"a\ b", &["a b"]),
        ("'a b' c", &["a b", "c"]),
        ("$NONE", &[]),
        ("80${NONE:-81}", &["8081"]),
        ("cat <<  EOF", &["cat", "<<  EOF"]),
        ("'' a", &["a"]),
    ];
    for (input, expected) in table {
        assert_eq!(words(input).expect(input), expected, "{input}");
    }
}

#[test]
fn each_option_keeps_what_it_says() {
    let how = Expander { raw_quotes: true, keep_unset: true, ..Expander::new('\\') };
    let text = |how: Expander, word: &str| how.word(word, &variables()).map(|it| it.text);
    let kept = r#"'a' "alpha" $NONE ${NONE} ${NONE:-x} ${NONE#x} ${NONE/a/b}"#;
    assert_eq!(text(how, &kept.replace("alpha", "$A")), Ok(kept.to_owned()));
    let how = Expander { raw_escapes: true, ..Expander::new('\\') };
    assert_eq!(text(how, r"a\ b\$A"), Ok(r"a\ b\$A".to_owned()));
    assert_eq!(text(Expander::heredoc(), r#"it's "$A" \$A"#), Ok(r#"it's "alpha" $A"#.to_owned()));
    assert_eq!(text(Expander::new('`'), r"C:\a`$A\$A"), Ok(r"C:\a$A\alpha".to_owned()));
}

#[test]
fn what_grows_without_end_is_refused() {
    let mut variables = variables();
    let mut last = Ok(String::new());
    variables.insert("X".to_owned(), "x".repeat(1000));
    for _ in 0..40 {
        last = Expander::new('\\').word("$X$X", &variables).map(|expanded| expanded.text);
        let Ok(text) = &last else { break };
        variables.insert("X".to_owned(), text.clone());
    }
    assert!(last.expect_err("it doubles").message.contains("longer than"));
    let deep = "${N:-".repeat(5000) + &"}".repeat(5000);
    assert!(word(&deep).expect_err("it is deep").contains("nested"));
    // Values that are asked for and not used cost as much.
    variables.insert("BIG".to_owned(), "x".repeat(1 << 20));
    let unused = "${NONE+$BIG}".repeat(100_000);
    assert!(Expander::new('\\').word(&unused, &variables).is_err());
}

#[test]
fn a_long_word_is_no_trouble() {
    let long = "a$A'b'\"c\"".repeat(120_000);
    let expanded = Expander::new('\\').word(&long, &variables()).expect("it is long only");
    assert_eq!(expanded.text.len(), 120_000 * 8);
}
