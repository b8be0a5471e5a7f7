//! Credentials as Docker and Podman keep them.

use std::path::Path;

use super::liar::{Answer, Body, Liar, Served};
use super::server::Server;
use super::{blobs, image, well};
use crate::phoenix::{Home, Said, said};
use crate::support::tools;

const USER: &str = "somebody";
const PASSWORD: &str = "pa:ss-wörd";

/// `USER:PASSWORD` in base64, as the files have it.
fn auth(password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{USER}:{password}").into_bytes();
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let all = three.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let all = all << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn file(server: &Server, password: &str) -> String {
    let registry = server.name("");
    let registry = registry.trim_end_matches('/');
    format!(r#"{{"auths": {{"{registry}": {{"auth": "{}"}}}}}}"#, auth(password))
}

/// Pushes from a new home that `prepare` gives credentials.
fn push(server: &Server, prepare: impl FnOnce(&Home) -> Vec<(&'static str, String)>) -> Said {
    let home = Home::new();
    image(&home, "app", "x", &[]);
    let variables = prepare(&home);
    let name = server.name("app:1");
    let mut command = home.command(&["push", "app", &name]);
    said(command.envs(variables).output().expect("phoenix starts"))
}

fn works(server: &Server, prepare: impl FnOnce(&Home) -> Vec<(&'static str, String)>) {
    let said = push(server, prepare);
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// Fails without a word of the password.
fn fails(server: &Server, why: &str, prepare: impl FnOnce(&Home) -> Vec<(&'static str, String)>) {
    let Said { code, stdout, stderr } = push(server, prepare);
    assert_eq!(code, Some(5), "{stderr}");
    assert!(stderr.contains(why), "{stderr}");
    for secret in [PASSWORD, &auth(PASSWORD), "wrong-one", &auth("wrong-one")] {
        assert!(!stderr.contains(secret) && !stdout.contains(secret), "{stderr}");
    }
}

fn helper(home: &Home, script: &str) -> String {
    // Made by another process: nobody that is started meanwhile holds it open for writing.
    home.write("bin/script", script);
    let program = home.path("bin/docker-credential-phoenix-test");
    tools::run("install", [Path::new("-m755"), &home.path("bin/script"), &program]);
    format!("{}:/usr/bin:/bin", home.path("bin").display())
}

#[test]
fn without_credentials_or_with_wrong_ones_the_registry_denies_and_no_password_is_told() {
    let Some(server) = Server::closed(USER, PASSWORD) else { return };
    fails(&server, "denies access to app", |_| Vec::new());
    fails(&server, "denies access to app", |home| {
        home.write(".docker/config.json", &file(&server, "wrong-one"));
        Vec::new()
    });
    fails(&server, "has failed", |home| {
        home.write(".docker/config.json", r#"{"credsStore": "phoenix-test"}"#);
        let script = format!(
            "#!/bin/sh\ncat >/dev/null; echo '{PASSWORD}'; echo '{PASSWORD}' >&2; exit 1\n"
        );
        vec![("PATH", helper(home, &script))]
    });
    // A pull is denied as well, and leaves nothing.
    let home = Home::new();
    let said = home.run(&["pull", &server.name("app:1")]);
    assert!(said.code == Some(5) && said.stderr.contains("denies access"), "{said:?}");
    assert_eq!(blobs(&home), 0);
}

#[test]
fn credentials_are_found_where_docker_and_podman_keep_them() {
    let Some(server) = Server::closed(USER, PASSWORD) else { return };
    let good = file(&server, PASSWORD);
    works(&server, |home| {
        home.write(".docker/config.json", &good);
        Vec::new()
    });
    works(&server, |home| {
        home.write("elsewhere/config.json", &good);
        vec![("DOCKER_CONFIG", home.path("elsewhere").display().to_string())]
    });
    works(&server, |home| {
        home.write(".config/containers/auth.json", &good);
        Vec::new()
    });
    works(&server, |home| {
        home.write("run/containers/auth.json", &good);
        vec![("XDG_RUNTIME_DIR", home.path("run").display().to_string())]
    });
    works(&server, |home| {
        home.write("auth", &good);
        home.write(".docker/config.json", &file(&server, "wrong-one"));
        vec![("REGISTRY_AUTH_FILE", home.path("auth").display().to_string())]
    });
}

#[test]
fn credential_helpers_are_asked_for_the_registry() {
    let Some(server) = Server::closed(USER, PASSWORD) else { return };
    let registry = server.name("");
    let registry = registry.trim_end_matches('/');
    let script = format!(
        "#!/bin/sh\nread -r asked\n[ \"$1 $asked\" = 'get {registry}' ] || {{ echo 'credentials not found in native keychain'; exit 1; }}\nprintf '{{\"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'\n"
    );
    for config in [
        format!(r#"{{"credHelpers": {{"{registry}": "phoenix-test"}}}}"#),
        r#"{"auths": {}, "credsStore": "phoenix-test"}"#.to_owned(),
    ] {
        works(&server, |home| {
            home.write(".docker/config.json", &config);
            vec![("PATH", helper(home, &script))]
        });
    }
    fails(&server, "denies access", |home| {
        home.write(".docker/config.json", r#"{"credsStore": "phoenix-test"}"#);
        let nothing =
            "#!/bin/sh\ncat >/dev/null; echo 'credentials not found in native keychain'; exit 1\n";
        vec![("PATH", helper(home, nothing))]
    });
}

#[test]
fn a_registry_that_wants_a_token_gets_one_and_no_password() {
    let maker = Home::new();
    image(&maker, "app:1", "x", &["-o", "type=oci,dest=app"]);
    let served = Served::read(&maker.path("app"));
    let truth = served.clone();
    let registry = Liar::start(move |request| {
        let known = request.headers.get("authorization").map(String::as_str);
        if request.path.starts_with("/token") {
            let body = Body::Whole(b"{\"token\": \"good\", \"expires_in\": 300}".to_vec());
            return Answer { status: 200, headers: Vec::new(), body };
        }
        if known != Some("Bearer good") {
            let host = &request.headers["host"];
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"test\"");
            let headers = vec![("WWW-Authenticate", challenge)];
            return Answer { status: 401, headers, body: Body::Whole(Vec::new()) };
        }
        truth.answer(&request.path)
    });
    let home = Home::new();
    let known = registry.name("");
    let text = format!(
        r#"{{"auths": {{"{}": {{"auth": "{}"}}}}}}"#,
        known.trim_end_matches('/'),
        auth("x")
    );
    home.write(".docker/config.json", &text);
    assert_eq!(well(&home, &["pull", "-q", &registry.name("dir/app:1")]), served.manifest);
    let basic = format!("Basic {}", auth("x"));
    for request in registry.requests() {
        let token = request.path.starts_with("/token");
        assert_eq!(request.headers.get("authorization") == Some(&basic), token, "{request:?}");
        assert!(
            !token || request.path.contains("scope=repository%3Adir%2Fapp%3Apull"),
            "{request:?}"
        );
    }
}

#[test]
fn an_identity_token_gets_tokens_and_goes_nowhere_else() {
    let maker = Home::new();
    image(&maker, "app:1", "x", &["-o", "type=oci,dest=app"]);
    let served = Served::read(&maker.path("app"));
    let truth = served.clone();
    let registry = Liar::start(move |request| {
        let whole = |body: &str| Body::Whole(body.as_bytes().to_vec());
        if request.path == "/token" {
            let good = request.body.contains("&refresh_token=the%2Fsecret");
            let (status, body) = match good {
                true => (200, whole(r#"{"access_token": "good"}"#)),
                false => (401, whole(r#"{"error": "no"}"#)),
            };
            return Answer { status, headers: Vec::new(), body };
        }
        if request.headers.get("authorization").map(String::as_str) != Some("Bearer good") {
            let host = &request.headers["host"];
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"a test\"");
            let headers = vec![("WWW-Authenticate", challenge)];
            return Answer { status: 401, headers, body: whole("") };
        }
        truth.answer(&request.path)
    });
    let home = Home::new();
    let known = registry.name("");
    let config = |token: &str| {
        let host = known.trim_end_matches('/');
        let text = format!(r#"{{"auths": {{"{host}": {{"identitytoken": "{token}"}}}}}}"#);
        home.write(".docker/config.json", &text);
    };
    config("the/secret");
    assert_eq!(well(&home, &["pull", "-q", &registry.name("dir/app:1")]), served.manifest);
    let requests = registry.requests();
    let token = requests.iter().find(|request| request.path == "/token").expect("it is asked for");
    let scope = "scope=repository%3Adir%2Fapp%3Apull&";
    for part in ["grant_type=refresh_token", "service=a+test", "client_id=phoenix", scope] {
        assert!(token.body.contains(part), "{token:?}");
    }
    for request in requests.iter().filter(|request| request.path != "/token") {
        assert!(!format!("{request:?}").contains("secret"), "{request:?}");
    }
    config("another-secret");
    let said = Home::run(&home, &["pull", &registry.name("dir/other:1")]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.stderr.contains("denies access") && !said.stderr.contains("secret"), "{said:?}");
}

#[test]
fn a_token_service_that_sends_elsewhere_takes_no_secret_there() {
    let elsewhere = Liar::start(|_| {
        let body = Body::Whole(b"{\"token\": \"good\"}".to_vec());
        Answer { status: 200, headers: Vec::new(), body }
    });
    let there = format!("http://{}", elsewhere.name("token"));
    let registry = Liar::start(move |request| {
        let (status, header) = if request.path.starts_with("/token") {
            (307, ("Location", there.clone()))
        } else {
            let host = &request.headers["host"];
            (401, ("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")))
        };
        Answer { status, headers: vec![header], body: Body::Whole(Vec::new()) }
    });
    let known = registry.name("");
    let host = known.trim_end_matches('/');
    let entry = |what: &str, secret: &str| format!(r#""{host}": {{"{what}": "{secret}"}}"#);
    for entry in [entry("auth", &auth(PASSWORD)), entry("identitytoken", "the-secret"), "".into()] {
        let home = Home::new();
        home.write(".docker/config.json", &format!(r#"{{"auths": {{{entry}}}}}"#));
        let said = home.run(&["pull", &registry.name("dir/app:1")]);
        assert_eq!(said.code, Some(5), "{said:?}");
        assert!(said.stderr.contains("token service sends one elsewhere"), "{said:?}");
        assert!(!said.stderr.contains("secret") && !said.stderr.contains(PASSWORD), "{said:?}");
    }
    let asked = registry.requests();
    let asked = asked.iter().filter(|request| request.path.starts_with("/token"));
    assert!(asked.count() >= 3);
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
}

#[test]
fn an_endless_answer_of_a_token_service_is_not_read_to_its_end() {
    let registry = Liar::start(|request| {
        if request.path.starts_with("/token") {
            return Answer { status: 200, headers: Vec::new(), body: Body::Endless };
        }
        let host = &request.headers["host"];
        let challenge = format!("Bearer realm=\"http://{host}/token\"");
        let headers = vec![("WWW-Authenticate", challenge)];
        Answer { status: 401, headers, body: Body::Whole(Vec::new()) }
    });
    let home = Home::new();
    let said = home.run(&["pull", &registry.name("dir/app:1")]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.stderr.contains("does not end"), "{said:?}");
}
