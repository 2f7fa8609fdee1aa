//! The first frame of a response's body, read ahead to see whether it is all there is.

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// How much is left of a body, of which this frame was read ahead and the rest is so long.
pub(super) fn size_hint<E>(ahead: Option<&Result<Frame<Bytes>, E>>, rest: SizeHint) -> SizeHint {
    let held = ahead.and_then(|frame| frame.as_ref().ok()?.data_ref());
    let held = held.map_or(0, |data| data.len() as u64);
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(held));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(held));
    }
    hint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_ahead_is_a_part_of_what_is_left() {
        let frame = Ok::<_, ()>(Frame::data(Bytes::from("abc")));
        assert_eq!(size_hint(Some(&frame), SizeHint::with_exact(4)).exact(), Some(7));
        assert_eq!(size_hint::<()>(None, SizeHint::with_exact(4)).exact(), Some(4));
        assert_eq!(
            size_hint(Some(&Err(())), SizeHint::with_exact(4)).exact(),
            Some(4)
        );
        let unknown = size_hint(Some(&frame), SizeHint::default());
        assert_eq!((unknown.lower(), unknown.upper()), (3, None));
    }
}
