//! Who may call: bearer tokens.
//!
//! Problem: comparing secrets must not tell by its time how much of a guess was right, and some applications keep their tokens elsewhere.
//! Answer: either fixed tokens, of which only digests are kept and compared without shortcuts, or the application's own check, which may
//! take its time. What a token allows is not decided here: it opens every node.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::error::{Error, Result};

/// The application's own check of a token.
pub trait TokenCheck: Send + Sync + 'static {
    /// Whether the token, without `Bearer `, lets its bearer in. An error is our own trouble, and said to be.
    fn check(&self, token: String) -> BoxFuture<'static, Result<bool>>;
}

/// Option `tokens`: what lets a client in.
#[derive(Clone)]
pub enum Access {
    /// One of these.
    Tokens(Vec<String>),
    /// What the application says.
    Check(Arc<dyn TokenCheck>),
}

/// Checked option.
#[derive(Clone)]
pub enum Accepted {
    /// Everybody.
    All,
    /// Digests of tokens.
    Tokens(Arc<[[u8; 32]]>),
    /// What the application says.
    Check(Arc<dyn TokenCheck>),
}

impl Accepted {
    /// Checks the option.
    pub(super) fn new(access: Option<Access>) -> Result<Self> {
        Ok(match access {
            None => Self::All,
            Some(Access::Check(check)) => Self::Check(check),
            Some(Access::Tokens(tokens)) => {
                if tokens.is_empty() {
                    return Err(Error::config("authToken", "must name at least one token; leave it out to let everybody in"));
                }
                for (index, token) in tokens.iter().enumerate() {
                    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                        let problem = "must be printable ASCII without spaces, as it travels in a header";
                        return Err(Error::config(format!("authToken.{index}"), problem));
                    }
                }
                Self::Tokens(tokens.iter().map(|token| digest(token)).collect())
            }
        })
    }

    /// Whether clients need a token.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// Whether the token is one of those. Compares all of them.
pub(super) fn is_among(tokens: &[[u8; 32]], token: &str) -> bool {
    let given = digest(token);
    let found = tokens.iter().fold(Choice::from(0), |found, one| found | one.ct_eq(&given));
    found.into()
}

/// The token in an `authorization` header; the scheme's case does not matter.
pub(super) fn bearer(header: &http::HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
