//! What goes out beside a message: the caller's metadata and the bearer token.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, BinaryMetadataKey, BinaryMetadataValue, MetadataMap};

use crate::data::TraceContext;
use crate::error::{Error, Result};

/// Supplies a token, fresh for each call.
pub trait TokenSource: Send + Sync + 'static {
    /// The token, without `Bearer`.
    fn token(&self) -> BoxFuture<'static, Result<String>>;
}

/// A bearer token.
#[derive(Clone)]
pub enum Token {
    /// Always the same.
    Fixed(String),
    /// Asked for at each call.
    Fresh(Arc<dyn TokenSource>),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the token itself.
        f.write_str(match self {
            Token::Fixed(_) => "Token::Fixed",
            Token::Fresh(_) => "Token::Fresh",
        })
    }
}

/// The header of a token.
pub fn bearer(token: &str) -> Result<AsciiMetadataValue> {
    let problem = || Error::config("authToken", "must be 1 to 8192 visible ASCII characters");
    if token.is_empty() || token.len() > 8_192 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(problem());
    }
    let mut value = AsciiMetadataValue::try_from(format!("Bearer {token}")).map_err(|_| problem())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Set by gRPC and HTTP/2 themselves.
const RESERVED: [&str; 9] =
    ["te", "content-type", "content-length", "user-agent", "host", "connection", "transfer-encoding", "upgrade", "keep-alive"];

/// Checked metadata of all calls.
#[derive(Clone, Debug, Default)]
pub struct CallMetadata {
    base: MetadataMap,
}

impl CallMetadata {
    pub fn new(pairs: &[(String, String)], token: Option<&Token>) -> Result<Self> {
        let mut base = MetadataMap::new();
        for (name, value) in pairs {
            if token.is_some() && name.eq_ignore_ascii_case("authorization") {
                return Err(Error::config(format!("metadata.{name}"), "excludes authToken, which sets it"));
            }
            insert(&mut base, name, value)?;
        }
        if let Some(Token::Fixed(token)) = token {
            base.insert("authorization", bearer(token)?);
        }
        Ok(Self { base })
    }

    /// The metadata of one call.
    pub fn of_call(&self, own: &[(String, String)], parent: Option<TraceContext>) -> Result<MetadataMap> {
        let mut map = self.base.clone();
        for (name, value) in own {
            insert(&mut map, name, value)?;
        }
        if let Some(parent) = parent {
            insert(&mut map, "traceparent", &parent.to_string())?;
        }
        Ok(map)
    }
}

/// Puts one entry in. Names end in `-bin` for values that are no header text; their UTF-8 goes out in base64, as gRPC has it.
fn insert(map: &mut MetadataMap, name: &str, value: &str) -> Result<()> {
    let wrong = |problem: &str| Error::config(format!("metadata.{name}"), problem.to_owned());
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("grpc-") || RESERVED.contains(&lower.as_str()) {
        return Err(wrong("is reserved for gRPC itself"));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if lower.is_empty() || lower.len() > 256 || !lower.bytes().all(plain) {
        return Err(wrong("must have a name of letters, digits, '-', '_' and '.'"));
    }
    if lower.ends_with("-bin") {
        let key: BinaryMetadataKey = lower.parse().map_err(|_| wrong("has no usable name"))?;
        map.insert_bin(key, BinaryMetadataValue::from_bytes(value.as_bytes()));
        return Ok(());
    }
    let key: AsciiMetadataKey = lower.parse().map_err(|_| wrong("has no usable name"))?;
    let printable = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !printable || value.len() > 8_192 {
        return Err(wrong("must have a value of printable ASCII, 8192 at most; a name that ends in -bin takes any text"));
    }
    map.insert(key, value.parse().map_err(|_| wrong("has no usable value"))?);
    Ok(())
}
