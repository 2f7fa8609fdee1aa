use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    text.parse().expect(text)
}

#[test]
fn an_ip_address_with_a_port_is_a_socket() {
    for text in ["10.0.0.7:3001", "[::1]:3001", "[2001:db8::7]:65535"] {
        assert_eq!(
            address(text),
            Address::Socket(text.parse().expect("a socket address"))
        );
        assert_eq!(address(text).to_string(), text);
    }
}

#[test]
fn a_name_with_a_port_is_a_host() {
    for text in [
        "orders:1",
        "orders.dept-barc.svc.cluster.local:3001",
        "a_b.example:80",
        "example.org.:443",
        "x9:1",
    ] {
        let (name, port) = text.rsplit_once(':').expect("a port");
        let port = port.parse().expect("a number");
        assert_eq!(
            address(text),
            Address::Host {
                name: name.into(),
                port
            },
            "{text}"
        );
        assert_eq!(address(text).to_string(), text);
    }
}

#[test]
fn one_host_has_one_spelling() {
    assert_eq!(address("Orders.Example:80"), address("orders.example:80"));
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "",
        ":80",
        "orders",
        "orders:",
        "orders:0",
        "orders:65536",
        "orders:http",
        "10.0.0.7",
        "10.0.0.7:0",
        "10.0.0:80",
        "10.0.0.256:80",
        "1:80",
        "::1:80",
        "[::1]",
        "orders..example:80",
        "orders..:80",
        ".:80",
        ".orders:80",
        "-orders:80",
        "orders-:80",
        "or ders:80",
        "örders:80",
        "http://orders:80",
        "orders:80/",
        &format!("{}:80", "x".repeat(64)),
        &format!("{}:80", "x.".repeat(127) + "xx"),
    ] {
        assert!(text.parse::<Address>().is_err(), "{text:?}");
    }
    let error = "orders".parse::<Address>().expect_err("no port");
    assert_eq!(
        error.to_string(),
        "\"orders\" is not an address: expected host:port, as 10.0.0.7:3001, [::1]:3001 or orders:3001"
    );
}

#[test]
fn an_endpoint_is_the_same_by_its_address_alone() {
    let old = Endpoint::new(address("10.0.0.7:3001"));
    let new = old
        .clone()
        .with_version(Some("v2".parse().expect("a version")))
        .with_weight(0)
        .with_zone(Some("a".into()))
        .with_readiness(Readiness::Terminating);
    let rebuilt = Endpoint::new(address("10.0.0.7:3001"));
    assert_ne!(old, new);
    assert_eq!(old.id(), new.id());
    assert_eq!(old.id(), rebuilt.id());
    assert_ne!(old.id(), Endpoint::new(address("10.0.0.7:3002")).id());
    assert_eq!(new.id().address(), &new.address);
}

#[test]
fn a_new_endpoint_is_ready_and_weighs_one() {
    let endpoint = Endpoint::new(address("10.0.0.7:3001"));
    assert_eq!((endpoint.weight, endpoint.readiness), (1, Readiness::Ready));
    assert_eq!((endpoint.version, endpoint.zone), (None, None));
}

proptest! {
    #[test]
    fn a_set_holds_each_address_once_and_the_last_word_on_it(
        given in proptest::collection::vec((1..6_u16, any::<u32>()), 0..20),
    ) {
        let endpoint = |port: u16| Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)).into());
        let set: EndpointSet = given.iter().map(|(port, weight)| endpoint(*port).with_weight(*weight)).collect();
        let last_word = |port: u16| given.iter().rev().find(|(p, _)| *p == port).map(|(_, weight)| *weight);
        for port in 1..6 {
            let found: Vec<u32> = set
                .endpoints
                .iter()
                .filter(|e| e.id() == endpoint(port).id())
                .map(|e| e.weight)
                .collect();
            prop_assert_eq!(found, Vec::from_iter(last_word(port)));
        }
    }

    #[test]
    fn an_address_prints_as_what_parses_to_it(text in "\\PC*|[a-zA-Z0-9.:_-]{0,40}|[a-z.]{1,20}:[0-9]{1,6}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
        }
    }
}
