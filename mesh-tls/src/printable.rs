//! What others wrote, in our log.

/// How many characters of it an error shows: who sends nonsense does not decide how much room it takes.
const MAX_SHOWN: usize = 200;

/// Without what moves a cursor or begins a line.
pub(crate) fn printable(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}

/// As much of it as an error shows, without what moves a cursor or begins a line.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", printable(text.get(..end).unwrap_or_default())),
        None => printable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_others_begins_a_line_or_fills_the_log() {
        assert_eq!(printable("a\nb\u{1b}[2Jc"), "a\u{fffd}b\u{fffd}[2Jc");
        assert_eq!(shortened("CN=orders"), "CN=orders");
        assert_eq!(shortened(&"ä".repeat(60_000)).chars().count(), MAX_SHOWN + 1);
    }
}
