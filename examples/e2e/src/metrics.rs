//! What a metrics page says.

use std::collections::BTreeMap;

/// One line of a page: a name, labels, a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Series {
    /// All series of a page. Values of labels with escapes or braces do not occur in these tests.
    ///
    /// # Panics
    /// If a line is no series.
    pub fn all(page: &str) -> Vec<Self> {
        page.lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Self::parse)
            .collect()
    }

    fn parse(line: &str) -> Self {
        let (series, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        // Between the quotes stand, in turn, a key with what surrounds it, and a value.
        let mut parts = labels.split('"');
        let mut all = BTreeMap::new();
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            all.insert(key.trim_matches([',', '=']).to_owned(), value.to_owned());
        }
        Self {
            name: name.to_owned(),
            labels: all,
            value: value.parse().unwrap_or_else(|_| panic!("no number: {line}")),
        }
    }

    /// Whether it has this name and all these labels, and perhaps more.
    pub fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |(key, value): &(&str, &str)| self.labels.get(*key).is_some_and(|found| found == value);
        self.name == name && labels.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_told_apart() {
        let all = Series::all("# HELP a b\na 1\nb{x=\"1\",y=\"\"} 2.5\nc{z=\"/a, b\"} 0\n");
        assert_eq!(all.len(), 3);
        assert!(all[0].is("a", &[]) && all[0].labels.is_empty());
        assert!(all[1].is("b", &[("x", "1"), ("y", "")]) && all[1].value == 2.5);
        assert!(!all[1].is("b", &[("x", "2")]));
        assert!(all[2].is("c", &[("z", "/a, b")]));
    }
}
