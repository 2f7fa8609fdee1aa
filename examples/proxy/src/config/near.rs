//! The known word that was probably meant.

/// The known word nearest to `found`, if it is near enough to have been meant.
pub(super) fn nearest<'k>(found: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LONGEST: usize = 64;
    if found.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(found);
    let allowed = match wanted.chars().count() {
        0 => return None,
        1 | 2 => 0,
        3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|word| (distance(&wanted, &plain(word)), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters have to be changed, put in, left out or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for j in 0..b.len() {
            let change = last[j] + usize::from(a[i] != b[j]);
            let mut least = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["port", "protocol", "replicas", "retry", "loadBalancing"];
        for (found, meant) in [
            ("prot", "port"),
            ("prtocol", "protocol"),
            ("replica", "replicas"),
            ("retrys", "retry"),
            ("load_balancing", "loadBalancing"),
            ("loadbalancing", "loadBalancing"),
        ] {
            assert_eq!(nearest(found, known), Some(meant), "{found}");
        }
    }

    #[test]
    fn another_word_is_not_taken_for_a_slip() {
        for found in ["", "x", "timeouts", "certificate", &"port".repeat(1000)] {
            assert_eq!(nearest(found, ["port", "replicas"]), None, "{found}");
        }
    }
}
