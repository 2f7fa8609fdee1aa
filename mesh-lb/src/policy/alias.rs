//! Draws by weight in constant time.

use super::chance::below;

/// An alias table (Walker's, as Vose builds it): as many columns of one height as there are entries, each
/// filled by one entry, or by two.
pub(super) struct AliasTable {
    columns: Box<[Column]>,
}

#[derive(Clone, Copy)]
struct Column {
    value: u32,
    alias: u32,
    /// The part of the column that is `value`'s, in 2⁻³²; the rest is `alias`'s.
    part: u32,
}

impl AliasTable {
    /// Of values with positive weights.
    pub(super) fn new(entries: impl Iterator<Item = (u32, u32)>) -> Self {
        let (mut columns, mut fill) = (Vec::new(), Vec::new());
        for (value, weight) in entries {
            let (alias, part) = (value, u32::MAX);
            columns.push(Column { value, alias, part });
            fill.push(u64::from(weight));
        }
        // Each column is as high as all weights together, so that an entry fills its weight in each of them.
        let height: u64 = fill.iter().sum();
        fill.iter_mut().for_each(|fill| *fill *= columns.len() as u64);
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..fill.len()).partition(|column| fill[*column] < height);
        while let (Some(&giver), Some(column)) = (large.last(), small.pop()) {
            columns[column].alias = columns[giver].value;
            columns[column].part = ((u128::from(fill[column]) << 32) / u128::from(height)) as u32;
            fill[giver] -= height - fill[column];
            if fill[giver] < height {
                large.pop();
                small.push(giver);
            }
        }
        Self {
            columns: columns.into_boxed_slice(),
        }
    }

    /// A value, from 64 random bits; nothing if there is none.
    pub(super) fn draw(&self, random: u64) -> Option<u32> {
        let column = self
            .columns
            .get(below(self.columns.len(), (random >> 32) as u32))?;
        let own = (random as u32) < column.part;
        Some(if own { column.value } else { column.alias })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_columns_hold_each_weight_to_the_last_bit(
            weights in proptest::collection::vec(proptest::prop_oneof![1_u32..5, 1_u32..=u32::MAX], 0..50),
        ) {
            let table = AliasTable::new((0..).zip(weights.iter().copied()));
            let mut held = vec![0_u64; weights.len()];
            for column in &table.columns {
                // What is all an entry's own has itself for an alias.
                held[column.value as usize] += u64::from(column.part);
                held[column.alias as usize] += (1 << 32) - u64::from(column.part);
            }
            let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            let height = 2_f64.powi(32) * weights.len() as f64;
            for (weight, held) in weights.iter().zip(held) {
                let want = f64::from(*weight) / total * height;
                proptest::prop_assert!((held as f64 - want).abs() <= weights.len() as f64 + want * 1e-9);
            }
        }
    }
}
