use http::HeaderName;

use super::*;

#[tokio::test(start_paused = true)]
async fn each_request_has_the_fields_of_its_destination_and_those_of_its_protocol() {
    for to in [http(), grpc()] {
        let kind = match to == http() {
            true => "application/x-protobuf",
            false => "application/grpc",
        };
        let collector = Collector::new();
        let to = to
            .with_header(
                HeaderName::from_static("x-api-key"),
                HeaderValue::from_static("s3cret"),
            )
            .with_header(HeaderName::from_static("tenant"), HeaderValue::from_static("a"))
            .with_header(
                HeaderName::from_static("content-type"),
                HeaderValue::from_static("text/plain"),
            );
        let (queue, _exporter, telemetry) = start(to, &collector);
        for sent in 1..=2 {
            queue.give(span(sent));
            counts(&telemetry, [usize::try_from(sent).expect("few"), 0, 0]).await;
        }
        let state = collector.0.lock();
        assert_eq!(state.heads.len(), 2);
        for (_, headers) in &state.heads {
            assert_eq!(headers["x-api-key"], "s3cret");
            assert_eq!(headers["tenant"], "a");
            assert!(headers.get_all("content-type").iter().eq([kind]));
        }
    }
}
