//! The cookies of a request, as its header fields hold them.

use http::HeaderMap;
use http::header::COOKIE;

/// Every `name=value` of every `Cookie` field, in order, blanks around them trimmed. A pair without `=` is
/// skipped, as RFC 6265 has servers do; a value is taken as it stands.
///
/// ```
/// use mesh_core::cookie::cookies;
///
/// let request = http::Request::get("/").header("cookie", "session=s1; theme=dark").body(()).expect("valid");
/// let theme = cookies(request.headers()).find(|(name, _)| *name == b"theme");
/// assert_eq!(theme, Some((&b"theme"[..], &b"dark"[..])));
/// ```
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|&byte| byte == b';'))
        .filter_map(|pair| {
            let equals = pair.iter().position(|&byte| byte == b'=')?;
            let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
            (!name.is_empty()).then_some((name, value))
        })
}

/// Whether a text can be a cookie's name: a token of HTTP.
pub fn is_cookie_name(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_all_fields_are_seen_in_order() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, " a=1; b = 2 ;junk;=3".parse().expect("valid"));
        headers.append(COOKIE, "c=x=y; d=".parse().expect("valid"));
        let seen: Vec<_> = cookies(&headers).collect();
        let expected: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"b", b"2"), (b"c", b"x=y"), (b"d", b"")];
        assert_eq!(seen, expected);
    }
}
