//! The two messages of `grpc.health.v1`, one field each: by hand, since a protobuf library for them would be the
//! largest dependency of the crate.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// The longest answer that is read, in bytes. A good one has seven.
pub(super) const MAX_ANSWER: usize = 1024;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The key of field 1, a text.
const SERVICE: u8 = 1 << 3 | 2;

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Unknown,
    Serving,
    NotServing,
    ServiceUnknown,
    Other(u64),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("UNKNOWN"),
            Self::Serving => f.write_str("SERVING"),
            Self::NotServing => f.write_str("NOT_SERVING"),
            Self::ServiceUnknown => f.write_str("SERVICE_UNKNOWN"),
            Self::Other(number) => write!(f, "in the unknown status {number}"),
        }
    }
}

/// A `HealthCheckRequest`, with its prefix.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = BytesMut::with_capacity(16 + service.len());
    if !service.is_empty() {
        message.put_u8(SERVICE);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    // Nobody has a name of four gigabytes.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

/// The status in a `HealthCheckResponse` with its prefix, or what is wrong with it.
pub(super) fn status_of(framed: &[u8]) -> Result<Status, &'static str> {
    let (prefix, message) = framed.split_at_checked(PREFIX).ok_or("it is too short")?;
    let length = match *prefix {
        [0, a, b, c, d] => u32::from_be_bytes([a, b, c, d]),
        _ => return Err("it is compressed"),
    };
    if u64::from(length) != message.len() as u64 {
        return Err("its length is not what it says, or it is not one message");
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (0, _) => return Err("a field has the number 0"),
            // Of several the last counts, as protobuf says.
            (1, 0) => status = varint(&mut rest)?,
            (1, _) => return Err("its status is not a number"),
            (_, 0) => {
                varint(&mut rest)?;
            }
            (_, 1) => skip(&mut rest, 8)?,
            (_, 2) => {
                let length = varint(&mut rest)?;
                skip(&mut rest, length)?;
            }
            (_, 5) => skip(&mut rest, 4)?,
            _ => return Err("a field has an unknown type"),
        }
    }
    Ok(match status {
        0 => Status::Unknown,
        1 => Status::Serving,
        2 => Status::NotServing,
        3 => Status::ServiceUnknown,
        other => Status::Other(other),
    })
}

fn put_varint(into: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        into.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    into.put_u8(number as u8);
}

fn varint(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let mut number = 0_u64;
    for at in 0..10 {
        let (byte, after) = rest.split_first().ok_or("it ends within a number")?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if at == 9 && bits > 1 {
            break;
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number is too long")
}

fn skip(rest: &mut &[u8], length: u64) -> Result<(), &'static str> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    *rest = rest.get(length..).ok_or("it ends within a field")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut framed = vec![0, 0, 0, 0, message.len() as u8];
        framed.extend_from_slice(message);
        framed
    }

    #[test]
    fn a_request_is_what_protobuf_makes_of_it() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        assert_eq!(long.len(), 5 + 1 + 2 + 300);
    }

    #[test]
    fn every_status_is_read() {
        for (bytes, status) in [
            (&[][..], Status::Unknown),
            (&[8, 0], Status::Unknown),
            (&[8, 1], Status::Serving),
            (&[8, 2], Status::NotServing),
            (&[8, 3], Status::ServiceUnknown),
            (&[8, 0xac, 2], Status::Other(300)),
            // A negative enum value takes ten bytes.
            (
                &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                Status::Other(u64::MAX),
            ),
            (&[8, 2, 8, 1], Status::Serving),
        ] {
            assert_eq!(status_of(&framed(bytes)), Ok(status), "{bytes:?}");
        }
    }

    #[test]
    fn fields_of_later_versions_are_passed_over() {
        let message = [
            0x10, 0x96, 1, // 2: a number
            0x1a, 2, 9, 9, // 3: two bytes
            0x21, 1, 2, 3, 4, 5, 6, 7, 8, // 4: eight bytes
            0x2d, 1, 2, 3, 4, // 5: four bytes
            8, 1,
        ];
        assert_eq!(status_of(&framed(&message)), Ok(Status::Serving));
    }

    #[test]
    fn what_is_wrong_with_a_message_is_said() {
        for (bytes, wrong) in [
            (vec![], "it is too short"),
            (vec![0, 0, 0, 0], "it is too short"),
            (vec![1, 0, 0, 0, 0], "it is compressed"),
            (
                vec![0, 0, 0, 0, 2, 8],
                "its length is not what it says, or it is not one message",
            ),
            (
                vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                "its length is not what it says, or it is not one message",
            ),
            (framed(&[8]), "it ends within a number"),
            (framed(&[8, 0x80]), "it ends within a number"),
            (framed(&[0, 1]), "a field has the number 0"),
            (framed(&[0x0a, 1, 1]), "its status is not a number"),
            (framed(&[0x13]), "a field has an unknown type"),
            (framed(&[0x12, 2, 1]), "it ends within a field"),
            (
                framed(&[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
                "it ends within a field",
            ),
            (
                framed(&[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]),
                "a number is too long",
            ),
            (
                framed(&[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 129]),
                "a number is too long",
            ),
        ] {
            assert_eq!(status_of(&bytes), Err(wrong), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = status_of(&bytes);
            let _ = status_of(&framed(&bytes));
        }

        #[test]
        fn a_number_is_read_as_it_was_written(number: u64) {
            let mut bytes = BytesMut::new();
            put_varint(&mut bytes, number);
            let mut rest = &bytes[..];
            prop_assert_eq!(varint(&mut rest), Ok(number));
            prop_assert!(rest.is_empty());
        }
    }
}
