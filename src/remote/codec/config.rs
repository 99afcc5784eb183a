//! Node configuration as strings, and back.
//!
//! Problem: protocol v0 sends configuration as a map of strings. The stock service reads each with `json.loads`, else `ast.literal_eval`, else
//! takes the string; for streams it leaves json out, so `true` and `null` stay strings there, and a text that looks like a number becomes
//! one everywhere. Answer: strings that both readers take for what was meant: Python's constants, json for what json and Python write
//! alike, and quotes around every text that could be taken for something else. The service's side of it, [`parse_config`], reads what any
//! client writes. Which keys a node has is not known here.

use std::collections::BTreeMap;

use super::json::{self, Dialect};
use super::limits::{Budget, check_depth};
use super::literal;
use super::value::PyValue;
use crate::data::{Map, Value};
use crate::error::Result;

/// Longest text that goes without quotes. Python gives up on long expressions in a way that the service does not catch, and any text is an
/// expression to it at first.
const MAX_BARE: usize = 1000;

/// Configuration as the strings that a service reads back.
pub fn config_strings(config: &Map<String, Value>) -> Result<BTreeMap<String, String>> {
    config.iter().map(|(key, value)| Ok((key.clone(), string(value)?))).collect()
}

/// What the strings of a client mean: json, else a Python literal, else the string itself. So is a literal that json cannot hold.
pub fn parse_config(strings: &BTreeMap<String, String>) -> Map<String, Value> {
    strings.iter().map(|(key, text)| (key.clone(), meaning(text).unwrap_or_else(|| text.as_str().into()))).collect()
}

fn meaning(text: &str) -> Option<Value> {
    let mut budget = Budget::for_message(text.len());
    let value = json::loads(text.as_bytes(), &mut budget).or_else(|_| literal::eval(text, &mut budget)).ok()?;
    if !fits_json(&value) {
        return None;
    }
    let text = json::dumps(&value, Dialect::JavaScript, &mut budget).ok()?;
    serde_json::from_slice(&text).ok()
}

fn fits_json(value: &PyValue) -> bool {
    match value {
        PyValue::Bytes(_) | PyValue::Complex(..) | PyValue::Array(_) => false,
        PyValue::List(items) | PyValue::Tuple(items) | PyValue::Set(items) => items.iter().all(fits_json),
        PyValue::Dict(entries) => entries.iter().all(|(key, value)| fits_json(key) && fits_json(value)),
        _ => true,
    }
}

fn string(value: &Value) -> Result<String> {
    if let Value::String(text) = value
        && stays_itself(text)
    {
        return Ok(text.clone());
    }
    let mut out = String::new();
    write(value, 0, &mut out)?;
    Ok(out)
}

/// Json with Python's constants. Without constants it is json and Python alike, since json's escapes mean the same to Python, and letters
/// outside of ASCII, whose escapes would not, are written as they are. With constants it is no json, so both readers take it for Python.
fn write(value: &Value, depth: usize, out: &mut String) -> Result<()> {
    check_depth(depth)?;
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(flag) => out.push_str(if *flag { "True" } else { "False" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(_) => out.push_str(&value.to_string()),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write(item, depth + 1, out)?;
            }
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                write(item, depth + 1, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Whether every reader takes a text for itself. In doubt it does not: quotes do no harm where the text is read at all.
fn stays_itself(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return true };
    if text.len() > MAX_BARE || text.chars().any(char::is_control) {
        return false;
    }
    let word: &str = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or_default();
    match first {
        // A constant of either language, `set()`, and text with a prefix such as `r'...'`.
        'a'..='z' | 'A'..='Z' | '_' => {
            let constant = matches!(word, "None" | "True" | "False" | "set" | "null" | "true" | "false" | "NaN" | "Infinity");
            !constant && !text[word.len()..].starts_with(['"', '\''])
        }
        // Paths, patterns, and words of other languages: no literal starts with these.
        '/' | '%' | '*' | '@' | '!' | '?' | '<' | '>' | '=' | '&' | '|' | ':' | ';' | ',' | '$' | '^' | '`' | '~' => true,
        letter => !letter.is_ascii() && letter.is_alphabetic(),
    }
}
