//! What the value of a key may be, as a JSON Schema.

use serde_json::{Value, json};

use super::{
    ADD, CONFIG, CONTEXT, COPY, DEBIAN, FROM, HEALTHCHECK, IMAGE, MKDIR, MOUNT, MOUNT_KINDS, PARAM,
    REMOVE, RUN, STAGE, STEP, SYMLINK, TEST, VERBS, WORKDIR, WRITE, object, one_of,
};
use crate::plan::op::ULIMITS;

pub(super) fn any(schemas: Vec<Value>) -> Value {
    json!({ "anyOf": schemas })
}

/// A value that may also be the text `${{ name }}`.
pub(super) fn or_param(schema: Value) -> Value {
    any(vec![schema, json!({ "type": "string", "pattern": "\\$\\{\\{" })])
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}
pub(super) fn texts() -> Value {
    json!({ "type": "array", "items": text() })
}
pub(super) fn one_or_more() -> Value {
    any(vec![text(), json!({ "type": "array", "items": text(), "minItems": 1 })])
}
pub(super) fn boolean() -> Value {
    or_param(json!({ "type": "boolean" }))
}
pub(super) fn integer() -> Value {
    or_param(json!({ "type": "integer", "minimum": 0 }))
}
pub(super) fn as_written() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}
pub(super) fn pairs() -> Value {
    json!({ "type": "object", "additionalProperties": as_written() })
}
pub(super) fn owner() -> Value {
    any(vec![text(), json!({ "type": "integer", "minimum": 0 })])
}
pub(super) fn mode() -> Value {
    any(vec![
        json!({ "type": "string", "pattern": "^(0o)?[0-7]{3,4}$|\\$\\{\\{" }),
        json!({ "type": "integer", "minimum": 0, "maximum": 4095 }),
    ])
}
pub(super) fn modes() -> Value {
    any(vec![mode(), json!({ "type": "string", "pattern": "^[ugoa]*[-+=]" })])
}
pub(super) fn hosts() -> Value {
    json!({ "type": "object", "additionalProperties": text() })
}
pub(super) fn ulimits() -> Value {
    let limit = json!({ "type": ["string", "integer"], "pattern": "^(-1|[0-9]+)(:(-1|[0-9]+))?$|\\$\\{\\{" });
    let names = json!({ "enum": ULIMITS });
    json!({ "type": "object", "propertyNames": names, "additionalProperties": limit })
}
pub(super) fn duration() -> Value {
    json!({ "type": "string", "pattern": "^([0-9]+(ns|us|ms|s|m|h|d|w))+$|\\$\\{\\{" })
}
pub(super) fn size() -> Value {
    let text = json!({ "type": "string", "pattern": "^[0-9]+[kKmMgG]?$|\\$\\{\\{" });
    any(vec![json!({ "type": "integer", "minimum": 1 }), text])
}
pub(super) fn is_true() -> Value {
    or_param(json!({ "const": true }))
}
pub(super) fn condition() -> Value {
    any(vec![text(), json!({ "type": ["boolean", "number"] })])
}
pub(super) fn choice(words: &[&str]) -> Value {
    or_param(json!({ "enum": words }))
}
pub(super) fn command() -> Value {
    any(vec![text(), texts()])
}
pub(super) fn non_empty_command() -> Value {
    one_or_more()
}

pub(super) fn param() -> Value {
    let written = json!({ "type": ["string", "number", "boolean", "null"] });
    any(vec![written, object(PARAM, &[])])
}
pub(super) fn params() -> Value {
    let names = json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" });
    json!({ "type": "object", "propertyNames": names, "additionalProperties": param() })
}
pub(super) fn stages() -> Value {
    let names = json!({ "pattern": "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$" });
    let stage = object(STAGE, &["from"]);
    json!({ "type": "object", "propertyNames": names, "additionalProperties": stage, "minProperties": 1 })
}
pub(super) fn from() -> Value {
    let mut schema = object(FROM, &[]);
    schema["minProperties"] = json!(1);
    schema["maxProperties"] = json!(1);
    schema
}
pub(super) fn image() -> Value {
    any(vec![text(), object(IMAGE, &["name"])])
}
pub(super) fn contexts() -> Value {
    let names = json!({ "pattern": "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$" });
    let context = any(vec![text(), one_of(CONTEXT, &["path", "git"], &[])]);
    json!({ "type": "object", "propertyNames": names, "additionalProperties": context })
}
pub(super) fn workdir() -> Value {
    any(vec![text(), object(WORKDIR, &["path"])])
}
pub(super) fn debian() -> Value {
    any(vec![text(), object(DEBIAN, &["suite"])])
}
pub(super) fn config() -> Value {
    object(CONFIG, &[])
}
pub(super) fn steps() -> Value {
    json!({ "type": "array", "items": one_of(STEP, VERBS, &[]) })
}
pub(super) fn tests() -> Value {
    json!({ "type": "array", "items": any(vec![text(), object(TEST, &["run"])]) })
}
pub(super) fn run() -> Value {
    any(vec![non_empty_command(), one_of(RUN, &["script", "argv"], &[])])
}
pub(super) fn copy() -> Value {
    let list = json!({ "type": "array", "items": text(), "minItems": 2 });
    any(vec![list, object(COPY, &["dest"])])
}
pub(super) fn add() -> Value {
    let list = json!({ "type": "array", "items": text(), "minItems": 2 });
    any(vec![list, object(ADD, &["dest"])])
}
pub(super) fn write() -> Value {
    object(WRITE, &["path", "content"])
}
pub(super) fn mkdir() -> Value {
    any(vec![one_or_more(), object(MKDIR, &["path"])])
}
pub(super) fn symlink() -> Value {
    object(SYMLINK, &["target", "path"])
}
pub(super) fn remove() -> Value {
    any(vec![one_or_more(), object(REMOVE, &["paths"])])
}
pub(super) fn mounts() -> Value {
    json!({ "type": "array", "items": one_of(MOUNT, MOUNT_KINDS, &[]) })
}
pub(super) fn ports() -> Value {
    let port = || json!({ "type": ["string", "integer"] });
    any(vec![port(), json!({ "type": "array", "items": port() })])
}
pub(super) fn healthcheck() -> Value {
    any(vec![non_empty_command(), json!({ "const": false }), object(HEALTHCHECK, &["test"])])
}
