//! What others say, within words of ours: short, on one line, without a secret that they were told. Pure.

/// A secret that is shorter is found in any text.
const SECRET_BYTES_LEAST: usize = 4;
const ELLIPSIS: &str = "…";
const HELD_BACK: &str = "(not repeated: it holds the password)";

/// What can become of a VM is told in no more.
pub(crate) const REASON_BYTES_MOST: usize = 1024;

/// The beginning of a text that is longer than that, with an ellipsis behind it.
pub(crate) fn cut(text: &str, bytes_most: usize) -> String {
    if text.len() <= bytes_most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_most.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end])
}

/// The same, with a space in the place of whatever would begin a line or move a cursor.
pub(crate) fn line(text: &str, bytes_most: usize) -> String {
    cut(text, bytes_most).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether a text holds a secret, in whatever case: names of hosts are written in small letters.
pub(crate) fn holds(text: &str, secret: &str) -> bool {
    secret.len() >= SECRET_BYTES_LEAST && text.to_lowercase().contains(&secret.to_lowercase())
}

/// The text, unless it holds the secret.
pub(crate) fn without(text: String, secret: &str) -> String {
    if holds(&text, secret) { HELD_BACK.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_stays_on_its_line() {
        assert_eq!(cut("as it was\n", 10), "as it was\n");
        assert_eq!(line("one\r\n\u{1b}[31mtwo", 100), "one   [31mtwo");
        let long = "ß".repeat(2000);
        for most in [1023, 1024] {
            let cut = line(&long, most);
            assert!(cut.len() <= most && cut.len() > most - 3 && cut.ends_with('…'), "{}", cut.len());
        }
        assert_eq!(cut(&long, 2), "…");
    }

    #[test]
    fn a_text_that_holds_the_secret_is_not_repeated() {
        assert_eq!(without("[\"root\",\"hunter2\"]".to_owned(), "hunter2"), HELD_BACK);
        assert!(holds("https://hunter2/", "Hunter2"));
        assert_eq!(without("SR_FULL".to_owned(), "F"), "SR_FULL");
    }
}
