//! A file of a web server, or the layer that holds it already.
//!
//! The key is the file's content with its name and time. A server is asked
//! whether that is still so, unless the operation says what it must be: then
//! nothing that a server tells plays a part, and the time is the constant.

use super::error::StepCause;
use super::run_source::{found, one_layer};
use super::step::Step;
use super::value::Value;
use crate::event::Unit;
use crate::layer::Mtime;
use crate::plan::op::Http;
use crate::source::http::{self, Answer, Client, HttpError, Known};

/// Raised when the same content may become another layer than before.
const VERSION: &str = "2";

pub(super) fn run(step: &mut Step<'_>, op: &Http) -> Result<Value, StepCause> {
    let session = step.session;
    let Http { url, name, checksum } = op;
    let (content, modified) = match checksum {
        Some(checksum) => (*checksum, None),
        None => match asked(step, url)? {
            Some(known) => (known.content, known.mtime()),
            None => {
                step.waits_for("downloading what is there now");
                return Ok(Value::Unknown { step: step.vertex.meta.name.clone() });
            }
        },
    };
    let time = modified.map_or_else(String::new, |time| format!(" of {time}"));
    let pin = format!("{content} as {name:?} in layer {VERSION}{time}");
    found(step, "http", &pin, &mut |step| {
        let store = session.store;
        if !http::is_there(store, &content) {
            download(step, url)?.filter(|known| known.content == content);
        }
        if !http::is_there(store, &content) {
            let known = Known::read(store, url)?;
            let actual = known.map_or(content, |known| known.content);
            let url = http::shown_url(url);
            return Err(HttpError::Digest { url, expected: content, actual }.into());
        }
        let mtime = modified.map_or(session.mtime, |secs| Mtime { secs, nanos: 0 });
        let layer = http::layer(store, &content, (name, mtime), session.compression)?;
        Ok(one_layer(session, layer, name))
    })
}

fn client(step: &Step<'_>) -> Result<Client, StepCause> {
    let session = step.session;
    Ok(Client::new(&session.debian.proxies, session.store.cancel())?)
}

/// What the URL holds now; `None` in a plan where that would be a download, or
/// where nobody answers.
fn asked(step: &Step<'_>, url: &str) -> Result<Option<Known>, StepCause> {
    let session = step.session;
    let known = Known::read(session.store, url)?;
    let store = (!session.dry).then_some(session.store);
    let tell = |done, total| step.progress("downloading", done, total, Unit::Bytes);
    let answer = match client(step)?.get(store, url, known.as_ref(), &tell) {
        // A plan tells what it can.
        Err(HttpError::Transfer { .. }) if session.dry => return Ok(None),
        answer => answer?,
    };
    match (answer, known) {
        (Answer::Same, known) => {
            Known::is_of_use(session.store, url);
            Ok(known)
        }
        (Answer::New(now), _) => {
            now.keep(session.store, url)?;
            Ok(Some(now))
        }
        (Answer::Changed, _) => Ok(None),
    }
}

/// Downloads whatever the URL holds.
fn download(step: &Step<'_>, url: &str) -> Result<Option<Known>, StepCause> {
    let session = step.session;
    let tell = |done, total| step.progress("downloading", done, total, Unit::Bytes);
    let Answer::New(now) = client(step)?.get(Some(session.store), url, None, &tell)? else {
        return Ok(None);
    };
    now.keep(session.store, url)?;
    Ok(Some(now))
}
