//! Which media types gain from compression.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Those that are text though they do not say so.
const TEXTUAL: &[&str] = &[
    "application/dash+xml",
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/json5",
    "application/ndjson",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/typescript",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/x-yaml",
    "application/xml",
    "application/xml-dtd",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "image/x-icon",
];

/// Whether what is of this type gets much smaller. Without a type nobody knows: no.
pub(super) fn gains(fields: &HeaderMap) -> bool {
    let mut types = fields.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is = |known: &str| essence.eq_ignore_ascii_case(known);
    // Each event is to be there at once, and proxies on the way are known to hold back what is compressed.
    if is("text/event-stream") {
        return false;
    }
    let begins = |with: &str| {
        let start = essence.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let ends = |with: &str| {
        let end = essence
            .len()
            .checked_sub(with.len())
            .and_then(|at| essence.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(with))
    };
    // gRPC compresses messages by itself, and application/grpc+json is gRPC.
    if begins("application/grpc") {
        return false;
    }
    begins("text/") || ends("+json") || ends("+xml") || ends("+yaml") || TEXTUAL.iter().any(|known| is(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> bool {
        let fields = values
            .iter()
            .map(|value| (CONTENT_TYPE, value.parse().expect("a value")));
        gains(&fields.collect())
    }

    #[test]
    fn text_gains_and_what_is_compressed_by_itself_does_not() {
        for gaining in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "text/css",
            "application/json",
            "Application/JSON ;charset=utf-8",
            "application/problem+json",
            "application/atom+xml",
            "image/svg+xml",
            "application/wasm",
            "application/x-ndjson",
        ] {
            assert!(of(&[gaining]), "{gaining}");
        }
        for other in [
            "image/png",
            "video/mp4",
            "application/zip",
            "application/octet-stream",
            "font/woff2",
            "text/event-stream",
            "text/event-stream; charset=utf-8",
            "application/grpc",
            "application/grpc+json",
            "application/grpc-web+json",
            "multipart/byteranges; boundary=x",
            "text",
            "json",
            "",
            "\u{e9}",
        ] {
            assert!(!of(&[other]), "{other}");
        }
        assert!(!of(&[]), "nobody knows");
        assert!(!of(&["text/html", "image/png"]), "nobody knows which");
    }
}
