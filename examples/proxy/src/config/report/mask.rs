//! Secrets in what a report shows of a file: reports go into logs, and into tickets.

/// The same text, of the same length, with `*` for the characters of what may be a secret: who logs in by a URL, and the
/// values of keys that are named like tokens and passwords.
pub(super) fn masked(text: &str) -> String {
    let mut shown: Vec<char> = text.chars().collect();
    let all = shown.clone();
    for at in 0..all.len() {
        let rest = all.get(at..).unwrap_or_default();
        if rest.starts_with(&[':', '/', '/']) {
            let end = rest
                .iter()
                .position(|c| c.is_whitespace() || is_quote(*c))
                .unwrap_or(rest.len());
            // The last one: a password that is not escaped may hold one too.
            let host = rest.iter().take(end).rposition(|c| *c == '@').unwrap_or_default();
            mask(&mut shown, at + 3, at + host);
        } else if all.get(at) == Some(&':') && names_a_secret(all.get(..at).unwrap_or_default()) {
            mask(
                &mut shown,
                at + 1,
                at + 1 + length_of_value(rest.get(1..).unwrap_or_default()),
            );
        }
    }
    shown.into_iter().collect()
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// Whether the key that ends here is called like a secret, also if it is misspelt a little.
fn names_a_secret(before: &[char]) -> bool {
    let is_part = |c: &&char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let word = before
        .iter()
        .rev()
        .skip_while(|c| is_quote(**c) || c.is_whitespace())
        .take_while(is_part);
    let mut word: Vec<char> = word.flat_map(|c| c.to_lowercase()).collect();
    word.reverse();
    let word: String = word.into_iter().collect();
    word.starts_with("join")
        || ["token", "password", "passwd"]
            .iter()
            .any(|name| word.ends_with(name))
}

/// Up to the end of the quotes, or of the place in a mapping.
fn length_of_value(rest: &[char]) -> usize {
    let begin = rest.iter().take_while(|c| c.is_whitespace()).count();
    let value = rest.get(begin..).unwrap_or_default();
    let length = match value.first() {
        Some(quote) if is_quote(*quote) => value.iter().skip(1).position(|c| c == quote).map(|end| end + 1),
        Some('[') => value.iter().position(|c| *c == ']'),
        _ => value.iter().position(|c| matches!(c, ',' | '}')),
    };
    begin + length.unwrap_or(value.len())
}

fn mask(shown: &mut [char], begin: usize, end: usize) {
    let secret = shown.iter_mut().take(end).skip(begin);
    secret
        .filter(|c| !c.is_whitespace() && !is_quote(**c))
        .for_each(|c| *c = '*');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_shown_by_its_length() {
        for (text, shown) in [
            (
                "redis: \"redis://mesh:p@ss@host:1/0\", timeout: 1s",
                "redis: \"redis://*********@host:1/0\", timeout: 1s",
            ),
            (
                "{ url: 'https://ca', joinToken: t0ken, a: b }",
                "{ url: 'https://ca', joinToken: *****, a: b }",
            ),
            ("joinTokn: \"a, b\"}", "joinTokn: \"** *\"}"),
            ("\"join_token\" : [x, y]", "\"join_token\" : *** *]"),
            ("Password: é", "Password: *"),
            ("password: 'never closed", "password: '***** ******"),
            ("tokenFile: /run/token", "tokenFile: /run/token"),
            (
                "hosts: [\"*\"], url: 'http://a/b@c d'",
                "hosts: [\"*\"], url: 'http://***@c d'",
            ),
            ("", ""),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
    }
}
