//! The plain form of process code: one call with literal arguments, as in Python.
//!
//! ```text
//!   call    = name "(" [ literal { "," literal } [ "," ] ] ")"
//!   literal = text | number | "True" | "False" | "None" | "[" [ literal { "," literal } [ "," ] ] "]"
//! ```
//!
//! It parses; it knows no functions and evaluates nothing.

/// Deepest nesting of lists.
const MAX_DEPTH: usize = 8;
/// Most literals in a call, lists and their elements counted.
const MAX_LITERALS: usize = 10_000;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function's name.
    pub name: String,
    /// Its arguments in order.
    pub arguments: Vec<Literal>,
}

/// A value written out.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// A text in single or double quotes.
    Text(String),
    /// A list.
    List(Vec<Literal>),
}

/// Words that open a statement of a script, though brackets may follow.
const KEYWORDS: [&str; 9] = ["return", "if", "while", "for", "repeat", "until", "local", "function", "not"];

/// Why a text is no plain call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "column {column}: {problem}; a plain call is NAME(LITERAL, ..) with texts in quotes, numbers, True, False, None and lists"
)]
pub struct CallError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

/// Whether `code` is meant as a plain call: a name, and brackets that close at the end and nowhere before. Anything
/// else is a script.
#[must_use]
pub fn looks_like_call(code: &str) -> bool {
    let code = code.trim();
    let name = code.bytes().take_while(|byte| is_name(*byte)).count();
    if name == 0 || code.as_bytes()[0].is_ascii_digit() || KEYWORDS.contains(&&code[..name]) {
        return false;
    }
    let rest = code[name..].trim_start();
    rest.starts_with('(') && closes_at_the_end(rest)
}

/// Parses one plain call; white space around it is passed over.
///
/// # Errors
/// See [`CallError`].
pub fn parse(code: &str) -> Result<Call, CallError> {
    let mut parser = Parser { characters: code.chars().collect(), at: 0, literals: 0 };
    let name = parser.name()?;
    parser.expect('(', "after the function's name")?;
    let arguments = parser.literals(')', 0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(Call { name, arguments }),
        Some(found) => Err(parser.error(format!("{found:?} stands after the call"))),
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn closes_at_the_end(rest: &str) -> bool {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return at + 1 == rest.len(),
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    // Never closed: a call that was cut.
    true
}

struct Parser {
    characters: Vec<char>,
    at: usize,
    literals: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn error(&self, problem: impl Into<String>) -> CallError {
        CallError { column: self.at + 1, problem: problem.into() }
    }

    fn expected(&self, what: &str) -> CallError {
        self.error(match self.peek() {
            Some(found) => format!("{what} was expected, not {found:?}"),
            None => format!("{what} was expected, but the code ends"),
        })
    }

    fn expect(&mut self, wanted: char, place: &str) -> Result<(), CallError> {
        self.skip_space();
        if self.peek() != Some(wanted) {
            return Err(self.expected(&format!("{wanted:?} {place}")));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|character| character.is_ascii_alphanumeric() || character == '_') {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn name(&mut self) -> Result<String, CallError> {
        self.skip_space();
        if self.peek().is_none_or(|first| !(first.is_ascii_alphabetic() || first == '_')) {
            return Err(self.expected("a function's name"));
        }
        Ok(self.word())
    }

    /// Literals up to `close`, which is taken too.
    fn literals(&mut self, close: char, depth: usize) -> Result<Vec<Literal>, CallError> {
        let mut values = Vec::new();
        loop {
            self.skip_space();
            if self.peek() == Some(close) {
                self.at += 1;
                return Ok(values);
            }
            values.push(self.literal(depth)?);
            self.skip_space();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(found) if found == close => {}
                _ => return Err(self.expected(&format!("',' or {close:?}"))),
            }
        }
    }

    fn literal(&mut self, depth: usize) -> Result<Literal, CallError> {
        self.literals += 1;
        if self.literals > MAX_LITERALS {
            return Err(self.error("more than 10,000 literals"));
        }
        match self.peek() {
            Some('[') if depth == MAX_DEPTH => Err(self.error("lists nested more than 8 deep")),
            Some('[') => {
                self.at += 1;
                Ok(Literal::List(self.literals(']', depth + 1)?))
            }
            Some(quote @ ('"' | '\'')) => self.text(quote),
            Some('0'..='9' | '-' | '+' | '.') => self.number(),
            Some(first) if first.is_ascii_alphabetic() => self.constant(),
            _ => Err(self.expected("a literal")),
        }
    }

    fn constant(&mut self) -> Result<Literal, CallError> {
        let start = self.at;
        let word = self.word();
        match word.as_str() {
            "True" => Ok(Literal::Bool(true)),
            "False" => Ok(Literal::Bool(false)),
            "None" => Ok(Literal::None),
            _ => {
                self.at = start;
                Err(self
                    .error(format!("{word} is no literal (a text needs quotes, and names cannot be used)")))
            }
        }
    }

    fn number(&mut self) -> Result<Literal, CallError> {
        let start = self.at;
        while let Some(character) = self.peek() {
            let after_exponent = self.at > start && matches!(self.characters[self.at - 1], 'e' | 'E');
            let sign = matches!(character, '+' | '-') && (self.at == start || after_exponent);
            if !(character.is_ascii_alphanumeric() || character == '.' || sign) {
                break;
            }
            self.at += 1;
        }
        let written: String = self.characters[start..self.at].iter().collect();
        let value = written.parse::<f64>().ok().filter(|value| value.is_finite());
        value.map(Literal::Number).ok_or_else(|| {
            self.at = start;
            self.error(format!("{written} is no finite number"))
        })
    }

    fn text(&mut self, quote: char) -> Result<Literal, CallError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.at += 1;
            match character {
                _ if character == quote => return Ok(Literal::Text(text)),
                '\\' => text.push(self.escape()?),
                '\n' => break,
                _ => text.push(character),
            }
        }
        self.at = start;
        Err(self.error("this text is never closed"))
    }

    fn escape(&mut self) -> Result<char, CallError> {
        let escaped = match self.peek() {
            Some(same @ ('\\' | '\'' | '"')) => same,
            Some('n') => '\n',
            Some('t') => '\t',
            _ => return Err(self.expected("one of \\\\ \\' \\\" \\n \\t")),
        };
        self.at += 1;
        Ok(escaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Literal {
        Literal::Text(value.to_owned())
    }

    #[test]
    fn calls_are_read_as_people_have_always_written_them() {
        let call = parse("start_transcription(['dnaA', \"dnaN\"])").unwrap();
        assert_eq!(call.name, "start_transcription");
        assert_eq!(call.arguments, [Literal::List(vec![text("dnaA"), text("dnaN")])]);
        assert_eq!(parse("  dna_replication ( ) \n").unwrap().arguments, []);
        let call = parse("f(1, -2.5e-3, True, False, None, [], [[1,],],)").unwrap();
        let numbers = |values: &[f64]| values.iter().map(|value| Literal::Number(*value)).collect::<Vec<_>>();
        assert_eq!(call.arguments[..2], numbers(&[1.0, -2.5e-3]));
        assert_eq!(call.arguments[2..5], [Literal::Bool(true), Literal::Bool(false), Literal::None]);
        assert_eq!(call.arguments[6], Literal::List(vec![Literal::List(numbers(&[1.0]))]));
        assert_eq!(parse(r#"f('it\'s', "a\\b\n")"#).unwrap().arguments, [text("it's"), text("a\\b\n")]);
    }

    #[test]
    fn what_is_no_call_is_refused_with_its_column() {
        for (code, column, problem) in [
            ("f(x)", 3, "x is no literal"),
            ("f('a' 'b')", 7, "',' or ')' was expected, not '\\''"),
            ("f(['a', 'b')", 12, "',' or ']'"),
            ("f('a", 3, "never closed"),
            ("f(", 3, "but the code ends"),
            ("f()()", 4, "stands after the call"),
            ("f(1e999)", 3, "no finite number"),
            ("f(nan)", 3, "nan is no literal"),
            ("f(1.2.3)", 3, "no finite number"),
            ("f(,)", 3, "a literal was expected"),
            ("f('\\x41')", 5, "was expected"),
            ("(1)", 1, "a function's name"),
            ("f[1]", 2, "after the function's name"),
            ("f([[[[[[[[[1]]]]]]]]])", 11, "8 deep"),
        ] {
            let error = parse(code).unwrap_err();
            assert_eq!(error.column, column, "{code}: {error}");
            assert!(error.problem.contains(problem), "{code}: {error}");
        }
        assert!(parse(&format!("f([{}])", "1,".repeat(10_001))).unwrap_err().problem.contains("10,000"));
    }

    #[test]
    fn a_script_is_told_from_a_call() {
        for call in ["f()", " test_process() ", "f(['a'", "f(')')", "g(h())"] {
            assert!(looks_like_call(call), "{call}");
        }
        for script in [
            "return 1",
            "f() g()",
            "f()()",
            "cell.advance(1)",
            "local x = f()",
            "(f)()",
            "",
            "f(1) + 2",
            "return(1)",
        ] {
            assert!(!looks_like_call(script), "{script}");
        }
    }
}
