//! The node's `config` option. A node that never parses it does not import `rm.config`.

use crate::{Error, de, host, json, sys};
use alloc::{format, vec::Vec};
use serde::de::DeserializeOwned;

/// Handle to the node's `config` option.
pub struct Config(pub(crate) ());

impl Config {
    /// The config as JSON text; `{}` where the application gave none.
    pub fn raw(&self) -> Result<Vec<u8>, Error> {
        // SAFETY: `fetch` passes a buffer of the stated length.
        let json = host::fetch(|out, len| unsafe { sys::config(out, len) }).map_err(host::call_error)?;
        // Nothing and null both mean that the option was left out.
        match json.trim_ascii() {
            b"" | b"null" => Ok(b"{}".to_vec()),
            _ => Ok(json),
        }
    }

    /// Deserializes the config. The error names the field: `config.gain: expected f32, got a string`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json = json::parse(&self.raw()?).ok_or("config: is not JSON")?;
        de::from_json(&json).map_err(|error| match error.path.as_str() {
            "" => Error::new(format!("config: {}", error.problem)),
            path => Error::config(path, error.problem),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde::Deserialize;
    use std::string::{String, ToString};

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
    struct Options {
        gain_db: f32,
        mode: Mode,
        bands: std::vec::Vec<u8>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase")]
    enum Mode {
        Soft,
        Hard,
    }

    impl Default for Options {
        fn default() -> Self {
            Self { gain_db: 0.0, mode: Mode::Soft, bands: std::vec![] }
        }
    }

    fn parse(json: &str) -> Result<Options, Error> {
        testing::reset();
        testing::set_config(json);
        Config(()).parse()
    }

    #[test]
    fn absent_config_means_defaults() {
        for json in ["", "null", "{}", " "] {
            assert_eq!(parse(json), Ok(Options::default()), "{json:?}");
        }
    }

    #[test]
    fn whole_numbers_serve_as_floats() {
        assert_eq!(parse(r#"{"gainDb":6}"#).unwrap().gain_db, 6.0);
        assert_eq!(parse(r#"{"bands":[6.0]}"#).unwrap().bands, [6]);
    }

    #[test]
    fn errors_name_the_field() {
        let message = |json| -> String { parse(json).unwrap_err().message().to_string() };
        let cases = [
            (r#"{"gainDb":"loud"}"#, "config.gainDb: expected f32, got a string"),
            (r#"{"mode":"odd"}"#, "config.mode: 'odd' is not one of soft, hard"),
            (r#"{"gian":1}"#, "config.gian: is not known, known are: gainDb, mode, bands"),
            (r#"{"bands":[1,2.5]}"#, "config.bands[1]: expected u8, got a number"),
            (r#"{"bands":[1,256]}"#, "config.bands[1]: expected u8"),
            ("[", "config: is not JSON"),
        ];
        for (json, want) in cases {
            assert_eq!(message(json), want);
        }
    }
}
