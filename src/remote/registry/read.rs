//! A registry's file, checked: every wrong endpoint is named by the file and its path in there.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{Names, RegistryOptions};
use crate::error::{Error, Result};
use crate::remote::config::Address;

/// A thousand services with many endpoints each.
const MAX_BYTES: u64 = 1 << 20;
/// For the check alone; the client that asks has its own.
const ANY_PORT: u16 = 1;

/// Reads a file of names.
pub fn file(path: &Path, options: RegistryOptions) -> Result<Names> {
    let wrong = |problem: String| Error::config("services", format!("{problem} ({})", path.display()));
    let mut text = String::new();
    let opened = File::open(path).map_err(|error| wrong(format!("the file cannot be read: {error}")).because(error))?;
    let read = opened.take(MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(format!("the file cannot be read: {error}")).because(error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("the file is longer than {MAX_BYTES} bytes")));
    }
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let mut value: Value = if is_json {
        serde_json::from_str(&text).map_err(|error| wrong(format!("the file is no JSON: {error}")))?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| wrong(format!("the file is no YAML: {error}")))?
    };
    if let Some(services) = value.as_object_mut().and_then(|root| root.remove("services")).filter(Value::is_object) {
        value = services;
    }
    names(&value, "services", Some((path, options)))
}

/// Reads endpoints by name, and checks each.
pub fn names(value: &Value, root: &str, file: Option<(&Path, RegistryOptions)>) -> Result<Names> {
    let place = file.map_or_else(String::new, |(path, _)| format!(" ({})", path.display()));
    let wrong = |path: &str, problem: &str| Error::config(path, format!("{problem}{place}"));
    let map = value.as_object().ok_or_else(|| wrong(root, "must be an object of endpoints by name"))?;
    let mut names = Names::new();
    for (name, given) in map {
        let path = format!("{root}.{name}");
        let listed = match given {
            Value::Object(object) => object.get("endpoints").ok_or_else(|| wrong(&path, "must have endpoints"))?,
            other => other,
        };
        let texts = match listed {
            Value::String(text) => vec![text.as_str()],
            Value::Array(list) => {
                let texts = list.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                texts.ok_or_else(|| wrong(&path, "must be texts such as host:port"))?
            }
            _ => return Err(wrong(&path, "must be a text such as host:port, or a list of them")),
        };
        if texts.is_empty() {
            return Err(wrong(&path, "must have an endpoint at least"));
        }
        let mut endpoints = Vec::with_capacity(texts.len());
        for (index, text) in texts.into_iter().enumerate() {
            let path = format!("{path}.{index}");
            let text = match file {
                Some((_, options)) if options.expand_env => expand(text).map_err(|problem| wrong(&path, &problem))?,
                _ if text.contains("${") => return Err(wrong(&path, "holds ${...}, which only a file opened with expandEnv may")),
                _ => text.to_owned(),
            };
            Address::parse(&text, ANY_PORT, None).map_err(|problem| wrong(&path, &problem))?;
            endpoints.push(text);
        }
        names.insert(name.clone(), endpoints);
    }
    Ok(names)
}

/// Puts variables of the environment in for `${NAME}`.
fn expand(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("has ${ without }")?;
        out.push_str(before);
        out.push_str(&std::env::var(name).map_err(|_| format!("wants the variable {name}, which is not set"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in() {
        let path = std::env::var("PATH").expect("a PATH");
        assert_eq!(expand("a${PATH}b${PATH}"), Ok(format!("a{path}b{path}")));
        assert_eq!(expand("plain"), Ok("plain".to_owned()));
        assert_eq!(expand("${RM_NO_SUCH_VARIABLE}"), Err("wants the variable RM_NO_SUCH_VARIABLE, which is not set".to_owned()));
        assert_eq!(expand("${PATH"), Err("has ${ without }".to_owned()));
    }
}
