//! What is left of a request that may be sent twice.

use bytes::{Buf, BufMut};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body::Body as _;
use mesh_core::body::Body;

/// A request without a body, whose method changes nothing. Few are ever made a request again, so the fields are one text: a
/// copy of names and values counts references to each, up and down again, which costs more than copying their bytes.
pub(super) struct Copy {
    method: Method,
    uri: Uri,
    fields: Vec<u8>,
}

/// In front of each field: the lengths of its name and of its value, and whether that is sensitive.
const LENGTHS: usize = 8;
const VALUE: u32 = 16;
const SENSITIVE: u64 = 1 << 63;

/// Room for the fields of most requests.
const USUAL: usize = 1024;

impl Copy {
    /// Of a request that may be sent twice.
    pub(super) fn of(request: &Request<Body>) -> Option<Self> {
        let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if !safe || !request.body().is_end_stream() {
            return None;
        }
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            fields: write(request.headers())?,
        })
    }

    pub(super) fn into_request(self) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        read(&self.fields, request.headers_mut());
        request
    }
}

/// The fields as one text. Nothing if one is longer than any head that is let in.
fn write(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(USUAL);
    for (name, value) in headers {
        let (name, sensitive) = (name.as_str().as_bytes(), value.is_sensitive());
        let (name_length, length) = (u16::try_from(name.len()).ok()?, u32::try_from(value.len()).ok()?);
        let lengths = u64::from(name_length) | u64::from(length) << VALUE;
        text.reserve(LENGTHS + name.len() + value.len());
        text.put_u64_ne(if sensitive { lengths | SENSITIVE } else { lengths });
        text.put_slice(name);
        text.put_slice(value.as_bytes());
    }
    Some(text)
}

fn read(mut text: &[u8], headers: &mut HeaderMap) {
    while text.len() >= LENGTHS {
        let lengths = text.get_u64_ne();
        let (name, length) = (lengths & 0xffff, lengths >> VALUE & 0xffff_ffff);
        let Some((name, rest)) = text.split_at_checked(name as usize) else {
            return;
        };
        let Some((value, rest)) = rest.split_at_checked(length as usize) else {
            return;
        };
        text = rest;
        // They were a name and a value before.
        if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            value.set_sensitive(lengths & SENSITIVE != 0);
            headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_copy_is_the_request(
            fields in prop::collection::vec(
                ("[a-z][a-z0-9-]{0,40}", prop::collection::vec(0x20..=0xff_u8, 0..200), any::<bool>()),
                0..40,
            ),
        ) {
            let mut request = Request::get("/a?b=c").body(Body::empty()).expect("a request");
            for (name, value, sensitive) in &fields {
                let value: Vec<u8> = value.iter().copied().filter(|byte| *byte != 0x7f).collect();
                let mut value = HeaderValue::from_bytes(&value).expect("a value");
                value.set_sensitive(*sensitive);
                request.headers_mut().append(name.parse::<HeaderName>().expect("a name"), value);
            }
            let copy = Copy::of(&request).expect("it changes nothing").into_request();
            prop_assert_eq!(copy.method(), request.method());
            prop_assert_eq!(copy.uri(), request.uri());
            prop_assert_eq!(copy.headers(), request.headers());
            let sensitive = |request: &Request<Body>| -> Vec<bool> {
                request.headers().values().map(HeaderValue::is_sensitive).collect()
            };
            prop_assert_eq!(sensitive(&copy), sensitive(&request));
        }
    }

    #[test]
    fn what_changes_something_or_has_a_body_is_not_copied() {
        for (method, body, copied) in [
            (Method::GET, Body::empty(), true),
            (Method::HEAD, Body::empty(), true),
            (Method::GET, Body::full("x"), false),
            (Method::POST, Body::empty(), false),
            (Method::DELETE, Body::empty(), false),
        ] {
            let request = Request::builder().method(&method).body(body).expect("a request");
            assert_eq!(Copy::of(&request).is_some(), copied, "{method}");
        }
    }
}
