//! As much of DER as a second opinion needs, written for these tests.

/// A value with its header, and what stands behind it.
pub(crate) fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(input)?;
    input.split_at_checked(header.checked_add(length)?)
}

/// What a value holds.
pub(crate) fn content(value: &[u8]) -> &[u8] {
    header(value)
        .and_then(|(header, length)| value.get(header..header.checked_add(length)?))
        .unwrap_or_default()
}

/// The values within a value.
pub(crate) fn parts(value: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), content(value));
    while let Some((part, behind)) = split(rest) {
        parts.push(part);
        rest = behind;
    }
    parts
}

/// What the signature of a certificate, a CSR or a revocation list is over: the first value in it, with its header.
pub(crate) fn signed(value: &[u8]) -> &[u8] {
    parts(value).first().copied().unwrap_or_default()
}

/// The number that an INTEGER holds, without the zeros in front.
pub(crate) fn number(value: &[u8]) -> &[u8] {
    let content = content(value);
    &content[content.iter().take_while(|byte| **byte == 0).count()..]
}

/// The content of an extension, of a certificate's or a list's signed part.
pub(crate) fn extension<'v>(signed: &'v [u8], number: &[u8]) -> Option<&'v [u8]> {
    let last = parts(signed).last().copied()?;
    let extension = parts(parts(last).first()?)
        .into_iter()
        .find(|extension| parts(extension).first().is_some_and(|oid| content(oid) == number))?;
    Some(content(parts(extension).last()?))
}

fn header(input: &[u8]) -> Option<(usize, usize)> {
    let bytes = match *input.get(1)? {
        length @ 0..=0x7f => return Some((2, usize::from(length))),
        first @ 0x81..=0x84 => usize::from(first & 0x7f),
        _ => return None,
    };
    let length = input.get(2..2 + bytes)?;
    Some((
        2 + bytes,
        length
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)),
    ))
}

/// A value of this tag.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut value = vec![tag];
    if content.len() < 0x80 {
        value.push(content.len() as u8);
    } else {
        value.push(0x80 | length.len() as u8);
        value.extend(length);
    }
    value.extend(content);
    value
}
