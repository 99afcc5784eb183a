//! Splits text into words, sentences or graphemes by the rules of Unicode (UAX 29): for counting, chunking before a
//! model, captions. JSON out: `{"mode", "count", "tokens": [{"text", "start", "end"}]}`.
//!
//! Config: `mode` (`words`, `sentences`, `graphemes`; default words), `lowercase` (default false). Offsets count UTF-16
//! units, so that `string.slice(start, end)` in JavaScript gives the token. Not here: subword vocabularies (BPE), and
//! word breaks in languages that need a dictionary for them, such as Thai.

#![no_std]

extern crate alloc;

use alloc::{borrow::Cow, vec::Vec};
use remotemedia_guest::{Config, Error, Input, Node, Output, export_node, no_std_runtime};
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

no_std_runtime!();
export_node!(Tokenize);

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum Mode {
    #[default]
    Words,
    Sentences,
    Graphemes,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    mode: Mode,
    lowercase: bool,
}

/// The node: its options.
pub struct Tokenize(Options);

#[derive(Serialize)]
struct Token<'a> {
    text: Cow<'a, str>,
    start: usize,
    end: usize,
}

#[derive(Serialize)]
struct Tokens<'a> {
    mode: Mode,
    count: usize,
    tokens: &'a [Token<'a>],
}

impl Node for Tokenize {
    fn initialize(_session: &str, config: &Config) -> Result<Self, Error> {
        Ok(Self(config.parse()?))
    }

    fn process(&mut self, input: &Input<'_>, out: &mut Output<'_>) -> Result<(), Error> {
        let text = input.text()?;
        let pieces: Vec<(usize, &str)> = match self.0.mode {
            Mode::Words => text.unicode_word_indices().collect(),
            Mode::Sentences => text.split_sentence_bound_indices().collect(),
            Mode::Graphemes => text.grapheme_indices(true).collect(),
        };
        let units = |s: &str| s.encode_utf16().count();
        let (mut tokens, mut seen, mut utf16) = (Vec::with_capacity(pieces.len()), 0, 0);
        for (at, piece) in pieces {
            // `at` counts bytes; the text before it was counted up to the last token.
            let start = utf16 + units(&text[seen..at]);
            utf16 = start + units(piece);
            seen = at + piece.len();
            tokens.push(Token {
                text: match self.0.lowercase {
                    true => Cow::Owned(piece.to_lowercase()),
                    false => Cow::Borrowed(piece),
                },
                start,
                end: utf16,
            });
        }
        out.emit_json(&Tokens { mode: self.0.mode, count: tokens.len(), tokens: &tokens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotemedia_guest::testing::Session;

    fn run(config: &str, text: &str) -> alloc::string::String {
        let mut session = Session::<Tokenize>::start(config).unwrap();
        session.process(text.as_bytes(), r#"{"kind":"text"}"#).unwrap()[0].text().into()
    }

    #[test]
    fn words_have_javascript_offsets() {
        let want =
            r#"{"mode":"words","count":2,"tokens":[{"text":"a","start":3,"end":4},{"text":"b's","start":5,"end":8}]}"#;
        assert_eq!(run("{}", "😀 a b's!"), want);
    }

    #[test]
    fn the_other_modes() {
        assert!(run(r#"{"mode":"sentences"}"#, "One. Two!").contains(r#""count":2"#));
        assert!(run(r#"{"mode":"graphemes"}"#, "e\u{301}x").contains(r#""count":2"#));
        assert!(run(r#"{"lowercase":true}"#, "ÄB").contains("äb"));
        assert!(run("{}", "").contains(r#""count":0"#));
    }

    #[test]
    fn bad_input_and_config() {
        let mut session = Session::<Tokenize>::start("{}").unwrap();
        assert!(session.process(&[0xff], "{}").unwrap_err().message().contains("UTF-8"));
        let error = Session::<Tokenize>::start(r#"{"mode":"bpe"}"#).err().unwrap();
        assert!(error.message().starts_with("config.mode:"), "{error}");
    }
}
