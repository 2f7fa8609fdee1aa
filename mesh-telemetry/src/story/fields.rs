//! The fields of a request that are read when its story begins.

use http::{HeaderMap, HeaderValue, Version};
use mesh_core::forwarded::{parent_in, parent_span};
use mesh_core::trace::SpanContext;

use crate::labels::Protocol;

/// The first of each of these fields, found in one pass over all of them: to look for each by its name takes longer.
#[derive(Default)]
pub(crate) struct Fields<'h> {
    pub(crate) host: Option<&'h HeaderValue>,
    pub(crate) agent: Option<&'h HeaderValue>,
    pub(crate) request_id: Option<&'h HeaderValue>,
    has_type: bool,
    traceparent: Option<&'h HeaderValue>,
    /// There is more than one field that tells a parent.
    parents: bool,
}

impl<'h> Fields<'h> {
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            let place = match name.as_str() {
                "host" => &mut fields.host,
                "user-agent" => &mut fields.agent,
                "x-request-id" => &mut fields.request_id,
                "traceparent" => {
                    fields.parents |= fields.traceparent.is_some();
                    &mut fields.traceparent
                }
                "content-type" => {
                    fields.has_type = true;
                    continue;
                }
                "b3" | "x-b3-traceid" => {
                    fields.parents = true;
                    continue;
                }
                _ => continue,
            };
            place.get_or_insert(value);
        }
        fields
    }

    /// The span that the fields these are of name.
    #[inline]
    pub(crate) fn parent(&self, headers: &HeaderMap) -> Option<SpanContext> {
        match self.parents {
            true => parent_span(headers),
            false => parent_in(self.traceparent?),
        }
    }

    /// The protocol of a request with the fields these are of.
    pub(crate) fn protocol(&self, version: Version, headers: &HeaderMap) -> Protocol {
        match self.has_type {
            true => Protocol::of(version, headers),
            false => Protocol::of_version(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00";
    const B3: &str = "2af7651916cd43dd8448eb211c80319c-d7ad6b7169203331-1";

    fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
        let names = [
            "host",
            "user-agent",
            "x-request-id",
            "traceparent",
            "content-type",
            "b3",
            "x-b3-traceid",
            "x-b3-spanid",
            "accept",
        ];
        let values = [
            PARENT,
            OTHER,
            B3,
            "2af7651916cd43dd8448eb211c80319c",
            "d7ad6b7169203331",
            "application/grpc",
            "",
        ];
        let name = prop::sample::select(names.to_vec()).prop_map(HeaderName::from_static);
        (
            name,
            prop::sample::select(values.to_vec()).prop_map(HeaderValue::from_static),
        )
    }

    proptest! {
        #[test]
        fn one_pass_finds_what_looking_by_name_does(fields in prop::collection::vec(field(), 0..8)) {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value);
            }
            let found = Fields::of(&headers);
            prop_assert_eq!(found.host, headers.get("host"));
            prop_assert_eq!(found.agent, headers.get("user-agent"));
            prop_assert_eq!(found.request_id, headers.get("x-request-id"));
            prop_assert_eq!(found.parent(&headers), parent_span(&headers));
            for version in [Version::HTTP_11, Version::HTTP_2] {
                prop_assert_eq!(found.protocol(version, &headers), Protocol::of(version, &headers));
            }
        }
    }
}
