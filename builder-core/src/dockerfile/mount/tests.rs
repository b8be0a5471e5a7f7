use super::*;

fn mount(text: &str) -> Result<Mount, String> {
    let source = SourceFile::new(std::path::Path::new("D"), text);
    let word = Word::new(text.to_owned(), 0..text.len());
    let spec = MountSpec::new(&source, word).map_err(|fault| fault.message)?;
    spec.mount(&source, &mut |value| Ok(value.replace("$X", "x"))).map_err(|fault| {
        match fault.help {
            Some(help) => format!("{} ({help})", fault.message),
            None => fault.message,
        }
    })
}

#[test]
fn each_type_takes_its_fields() {
    let kind = |kind| Mount { kind, ..Mount::default() };
    let text = |text: &str| Some(text.to_owned());
    let table = [
        (
            "target=/a,from=b,source=/$X,rw",
            Mount {
                from: text("b"),
                source: text("/x"),
                target: text("/a"),
                ..kind(MountType::Bind)
            },
        ),
        ("dst=/a", Mount { target: text("/a"), read_only: true, ..kind(MountType::Bind) }),
        (
            "type=cache,id=i$X,target=/a,sharing=LOCKED,mode=0700,uid=1,gid=2",
            Mount {
                id: text("ix"),
                target: text("/a"),
                sharing: Some(Sharing::Locked),
                mode: Some(0o700),
                uid: Some(1),
                gid: Some(2),
                ..kind(MountType::Cache)
            },
        ),
        (
            "type=tmpfs,target=/a,size=1m",
            Mount { target: text("/a"), size: 1 << 20, ..kind(MountType::Tmpfs) },
        ),
        (
            "TYPE=secret,id=i,env=E,required",
            Mount {
                id: text("i"),
                env: text("E"),
                required: true,
                read_only: true,
                ..kind(MountType::Secret)
            },
        ),
        (
            "type=ssh,required=false,\"target=/a,b\"",
            Mount { target: text("/a,b"), read_only: true, ..kind(MountType::Ssh) },
        ),
    ];
    for (input, expected) in table {
        assert_eq!(mount(input), Ok(expected), "{input}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let table = [
        ("", "failed to parse csv mounts: it is empty"),
        ("a\"b", "failed to parse csv mounts: bare \" in non-quoted field"),
        ("\"a", "failed to parse csv mounts: extraneous or missing \" in quoted-field"),
        ("\"a\"b", "failed to parse csv mounts: extraneous or missing \" in quoted-field"),
        ("from=$X", "'from' doesn't support variable expansion"),
        ("type=cach", "unsupported mount type \"cach\" (did you mean `cache`?)"),
        ("tpye=cache", "unexpected key 'tpye' in 'tpye=cache' (did you mean `type`?)"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("required", "unexpected key 'required' for mount type 'bind'"),
        ("size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("ro=x", "invalid value for ro: x"),
        ("type=cache,mode=8", "invalid value 8 for mode"),
        ("type=cache,uid=+1", "invalid value +1 for uid"),
        ("type=cache,sharing=no", "unsupported sharing value \"no\""),
        ("mode=1", "mode not allowed for \"bind\" type mounts"),
        ("type=tmpfs,uid=1", "uid not allowed for \"tmpfs\" type mounts"),
        ("sharing=shared", "invalid cache sharing set for bind mount"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
    ];
    for (input, expected) in table {
        assert_eq!(mount(input), Err(expected.to_owned()), "{input}");
    }
}
