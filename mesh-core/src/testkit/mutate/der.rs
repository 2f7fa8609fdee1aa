//! Changes that keep DER readable, so that they reach what lies behind its first check; and lengths that lie.

/// How deep it looks: certificates nest less.
const DEEPEST: u8 = 24;

/// A value and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    tag: u8,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    Trees(Vec<Tree>),
}

impl Tree {
    /// The whole input, if it is one value.
    pub(super) fn read(input: &[u8]) -> Option<Self> {
        match Self::all(input, 0)?.as_mut_slice() {
            [tree] => Some(tree.clone()),
            _ => None,
        }
    }

    fn all(mut input: &[u8], depth: u8) -> Option<Vec<Self>> {
        let mut trees = Vec::new();
        while !input.is_empty() {
            let (tag, content, rest) = split(input)?;
            let inner = (tag & 0x20 != 0 && depth < DEEPEST).then(|| Self::all(content, depth + 1));
            trees.push(Self {
                tag,
                content: match inner.flatten() {
                    Some(trees) => Content::Trees(trees),
                    None => Content::Bytes(content.to_vec()),
                },
            });
            input = rest;
        }
        Some(trees)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Trees(trees) => trees.iter().flat_map(Self::write).collect(),
        };
        let mut written = vec![self.tag];
        write_length(&mut written, content.len());
        written.extend(content);
        written
    }

    /// Changes one value somewhere: left out, doubled, moved, of another kind, or from another tree.
    pub(super) fn change(&mut self, other: Option<&Self>, chance: &mut fastrand::Rng) {
        let place = chance.usize(..self.size());
        let piece = other.map(|other| other.at(chance.usize(..other.size())).clone());
        self.change_at(place, piece, chance);
    }

    fn size(&self) -> usize {
        1 + self.trees().iter().map(Self::size).sum::<usize>()
    }

    fn trees(&self) -> &[Self] {
        match &self.content {
            Content::Trees(trees) => trees,
            Content::Bytes(_) => &[],
        }
    }

    fn at(&self, mut place: usize) -> &Self {
        if place == 0 {
            return self;
        }
        place -= 1;
        for tree in self.trees() {
            match tree.size() {
                size if place < size => return tree.at(place),
                size => place -= size,
            }
        }
        self
    }

    fn change_at(&mut self, mut place: usize, piece: Option<Self>, chance: &mut fastrand::Rng) {
        if place > 0 {
            place -= 1;
            if let Content::Trees(trees) = &mut self.content {
                for tree in trees {
                    match tree.size() {
                        size if place < size => return tree.change_at(place, piece, chance),
                        size => place -= size,
                    }
                }
            }
            return;
        }
        match (&mut self.content, chance.u8(..8), piece) {
            (_, 0, _) => self.tag ^= 1 << chance.u8(..8),
            (_, 1, Some(piece)) => *self = piece,
            (Content::Trees(trees), 2, Some(piece)) => trees.insert(chance.usize(..=trees.len()), piece),
            (Content::Trees(trees), 3 | 4, _) if !trees.is_empty() => {
                drop(trees.remove(chance.usize(..trees.len())))
            }
            (Content::Trees(trees), 5, _) if !trees.is_empty() => {
                let (from, to) = (chance.usize(..trees.len()), chance.usize(..trees.len()));
                trees.swap(from, to);
            }
            (Content::Trees(trees), _, _) if !trees.is_empty() => {
                let tree = trees[chance.usize(..trees.len())].clone();
                let times = if chance.u8(..8) == 0 { 500 } else { 1 };
                trees.extend(std::iter::repeat_n(tree, times));
            }
            (Content::Bytes(bytes), 2 | 3, _) if !bytes.is_empty() => {
                let at = chance.usize(..bytes.len());
                bytes[at] ^= 1 << chance.u8(..8);
            }
            (Content::Bytes(bytes), 4, _) => bytes.truncate(chance.usize(..=bytes.len())),
            (Content::Bytes(bytes), 5, _) => bytes.insert(0, if chance.bool() { 0 } else { 0xff }),
            (Content::Bytes(bytes), 6, _) => bytes.extend((0..chance.usize(1..40)).map(|_| chance.u8(..))),
            (Content::Bytes(bytes), _, _) => bytes.clear(),
            (Content::Trees(trees), _, _) => trees.clear(),
        }
    }
}

/// A value with a tag of one byte and a length of up to three: tag, content, and what stands behind it.
fn split(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 3))?;
            (
                bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn write_length(written: &mut Vec<u8>, length: usize) {
    let bytes = length.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match length {
        0..=0x7f => written.push(length as u8),
        _ => {
            written.push(0x80 | bytes.len() as u8);
            written.extend(bytes);
        }
    }
}

/// Overwrites a byte that may be a length, or puts a longer form in its place: one more, one less, none, without end, more
/// than there is, more than a machine counts, or with zeros in front.
pub(super) fn lie_about_a_length(input: &mut Vec<u8>, chance: &mut fastrand::Rng) {
    let tags: Vec<usize> = (0..input.len().saturating_sub(1).min(4096))
        .filter(|at| matches!(input[*at], 0x02..=0x06 | 0x0c | 0x13 | 0x16..=0x18 | 0x30 | 0x31 | 0x80..=0x82 | 0xa0..=0xa3))
        .collect();
    let Some(at) = tags.get(chance.usize(..tags.len().max(1))).map(|tag| tag + 1) else {
        return;
    };
    let was = input[at];
    let lie: &[u8] = match chance.u8(..8) {
        0 => &[was.wrapping_add(1)],
        1 => &[was.wrapping_sub(1)],
        2 => &[0],
        3 => &[0x80],
        4 => &[0x84, 0xff, 0xff, 0xff, 0xff],
        5 => &[0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        6 => &[0x81, was],
        _ => &[0x82, 0, was],
    };
    input.splice(at..=at, lie.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &[u8] = &[0x30, 0x09, 0x30, 0x03, 0x02, 0x01, 0x07, 0x04, 0x02, 0x30, 0x05];

    #[test]
    fn what_is_read_is_written_again() {
        let tree = Tree::read(NESTED).expect("nested");
        assert_eq!((tree.size(), tree.write()), (4, NESTED.to_vec()));
        let long = [&[0x30, 0x82, 0x01, 0x04, 0x04, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        assert_eq!(Tree::read(&long).expect("long").write(), long);
        for wrong in [
            &b""[..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[2, 1, 1, 2, 1, 1],
        ] {
            assert!(Tree::read(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_changed_tree_can_still_be_read() {
        let mut chance = fastrand::Rng::with_seed(1);
        let whole = Tree::read(NESTED).expect("nested");
        let mut made = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let mut tree = whole.clone();
            tree.change(Some(&whole), &mut chance);
            let written = tree.write();
            assert!(
                split(&written).is_some_and(|(_, _, rest)| rest.is_empty()),
                "{written:?}"
            );
            made.insert(written);
        }
        assert!(made.len() > 30, "{}", made.len());
    }

    #[test]
    fn a_length_lies() {
        let mut chance = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let mut input = NESTED.to_vec();
            lie_about_a_length(&mut input, &mut chance);
            assert_ne!(input, NESTED);
        }
        lie_about_a_length(&mut Vec::new(), &mut chance);
    }
}
