//! The parameters of a query, decoded without an allocation.

/// How long a part may be to be decoded on the stack, in bytes.
const ON_STACK: usize = 128;

/// Every `name=value` of a query, not decoded yet. A part without `=` is a name with an empty value.
pub(crate) fn parameters(query: Option<&str>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let parts = query.unwrap_or_default().as_bytes().split(|&byte| byte == b'&');
    parts
        .filter(|part| !part.is_empty())
        .map(|part| match part.iter().position(|&byte| byte == b'=') {
            Some(equals) => (&part[..equals], &part[equals + 1..]),
            None => (part, &part[part.len()..]),
        })
}

/// Gives the decoded form of a part to `see`: `%XX` is a byte and `+` a blank, as forms write them. A `%`
/// that begins no such triple stands for itself.
pub(crate) fn decoded<R>(part: &[u8], see: impl FnOnce(&[u8]) -> R) -> R {
    if !part.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return see(part);
    }
    let mut stack = [0; ON_STACK];
    let mut heap = Vec::new();
    let buffer = match stack.get_mut(..part.len()) {
        Some(buffer) => buffer,
        None => {
            heap.resize(part.len(), 0);
            &mut heap[..]
        }
    };
    let (mut rest, mut len) = (part, 0);
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'+', _) => (b' ', tail),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', tail),
            },
            _ => (first, tail),
        };
        buffer[len] = byte;
        len += 1;
        rest = tail;
    }
    see(&buffer[..len])
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(part: &str) -> Vec<u8> {
        decoded(part.as_bytes(), <[u8]>::to_vec)
    }

    #[test]
    fn parameters_are_split_before_they_are_decoded() {
        let seen: Vec<_> = parameters(Some("a=1&b&&c=x=y&=z&d%3D=%26")).collect();
        let expected: [(&[u8], &[u8]); 5] = [
            (b"a", b"1"),
            (b"b", b""),
            (b"c", b"x=y"),
            (b"", b"z"),
            (b"d%3D", b"%26"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(parameters(None).count(), 0);
        assert_eq!(parameters(Some("")).count(), 0);
    }

    #[test]
    fn triples_and_plus_are_decoded_and_broken_triples_left() {
        for (part, expected) in [
            ("plain", &b"plain"[..]),
            ("a+b%20c", b"a b c"),
            ("%C3%bc", b"\xc3\xbc"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%zz%41", b"%zzA"),
            ("%%41", b"%A"),
            ("%00%ff", b"\x00\xff"),
        ] {
            assert_eq!(decode(part), expected, "{part}");
        }
    }

    #[test]
    fn a_long_part_is_decoded_too() {
        let part = "%41".repeat(ON_STACK);
        assert_eq!(decode(&part), vec![b'A'; ON_STACK]);
        assert_eq!(decode(&format!("{}+", "x".repeat(ON_STACK - 1))).len(), ON_STACK);
    }
}
