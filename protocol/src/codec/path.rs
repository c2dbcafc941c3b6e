//! Where in a body a value stands, written as people write it: `schedule[2].allocation.ribosomes`.
//!
//! A path lives on the stack while a body is read, so a well-formed body pays nothing for it.

use std::fmt;

/// The longest piece of a caller's text that is repeated to them, in characters.
const QUOTED_MAX_CHARS: usize = 64;

/// One step below its parent; the root is the body itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Path::Root, name) => f.write_str(&quoted(name)),
            Self::Field(parent, name) => write!(f, "{parent}.{}", quoted(name)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A caller's text, fit to be repeated in a message or a log line: control characters escaped, cut when long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_MAX_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
