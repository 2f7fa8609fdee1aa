//! A strict reader of Prometheus' text format 0.0.4: it panics on anything `promtool` would refuse, and on
//! more: families in pieces, samples without a type, series that stand there twice, histograms that
//! contradict themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) families: HashMap<String, Family>,
}

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: Option<String>,
    /// By full name: a histogram has several.
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "the page ends within a line"
        );
        let mut page = Self::default();
        let mut current: Option<String> = None;
        let mut seen = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                current = Some(page.open(name, current.as_deref(), line));
                let family = page.families.get_mut(name).expect("opened");
                assert!(
                    family.help.replace(help.to_owned()).is_none(),
                    "second HELP: {line}"
                );
                assert!(family.kind.is_empty(), "HELP after TYPE: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(
                    ["counter", "gauge", "histogram", "summary"].contains(&kind),
                    "{line}"
                );
                current = Some(page.open(name, current.as_deref(), line));
                let family = page.families.get_mut(name).expect("opened");
                assert!(family.kind.is_empty(), "second TYPE: {line}");
                family.kind = kind.to_owned();
            } else {
                assert!(!line.starts_with('#'), "neither HELP nor TYPE: {line}");
                let (name, labels, value) = sample(line);
                let family = current
                    .as_deref()
                    .unwrap_or_else(|| panic!("sample without a family: {line}"));
                assert!(
                    seen.insert((name.clone(), labels.clone())),
                    "this series stands there twice: {line}"
                );
                let family_data = page.families.get_mut(family).expect("opened");
                let suffix = name
                    .strip_prefix(family)
                    .unwrap_or_else(|| panic!("not of {family}: {line}"));
                let allowed: &[&str] = match family_data.kind.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "summary" => &["", "_sum", "_count"],
                    "" => panic!("no TYPE before {line}"),
                    _ => &[""],
                };
                assert!(allowed.contains(&suffix), "not of {family}: {line}");
                assert!(family_data.kind != "counter" || value >= 0.0, "{line}");
                family_data.samples.push((name, labels, value));
            }
        }
        page.check_histograms();
        page
    }

    fn open(&mut self, name: &str, current: Option<&str>, line: &str) -> String {
        assert!(is_name(name, true), "{line}");
        if current != Some(name) {
            assert!(
                !self.families.contains_key(name),
                "the family comes in pieces: {line}"
            );
            self.families.insert(name.to_owned(), Family::default());
        }
        name.to_owned()
    }

    fn check_histograms(&self) {
        for (name, family) in self
            .families
            .iter()
            .filter(|(_, family)| family.kind == "histogram")
        {
            let mut by_labels: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            let of = |suffix: &str| {
                let full = format!("{name}{suffix}");
                let these = family.samples.iter().filter(move |(sample, ..)| *sample == full);
                these
                    .map(|(_, labels, value)| (labels.clone(), *value))
                    .collect::<BTreeMap<_, _>>()
            };
            for (mut labels, value) in of("_bucket") {
                let le = labels.remove("le").expect("a bucket has an edge");
                let edge = if le == "+Inf" {
                    f64::INFINITY
                } else {
                    le.parse().expect("an edge is a number")
                };
                by_labels.entry(labels).or_default().push((edge, value));
            }
            let (sums, counts) = (of("_sum"), of("_count"));
            assert_eq!(by_labels.len(), counts.len());
            assert_eq!(by_labels.len(), sums.len());
            for (labels, mut buckets) in by_labels {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(
                    buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                    "{name}{labels:?} shrinks"
                );
                let last = buckets.last().expect("at least one");
                assert_eq!(last.0, f64::INFINITY, "{name}{labels:?} has no +Inf");
                assert_eq!(
                    Some(&last.1),
                    counts.get(&labels),
                    "{name}{labels:?}: +Inf is not the count"
                );
                assert!(sums.contains_key(&labels));
            }
        }
    }

    /// The samples of this full name that have these labels among theirs.
    pub(crate) fn samples(&self, name: &str, with: &[(&str, &str)]) -> Vec<(&Labels, f64)> {
        let all = self.families.values().flat_map(|family| &family.samples);
        let ours = all.filter(|(sample, labels, _)| {
            sample == name
                && with
                    .iter()
                    .all(|(key, value)| labels.get(*key).is_some_and(|v| v == value))
        });
        ours.map(|(_, labels, value)| (labels, *value)).collect()
    }

    /// Their sum; panics if there are none.
    pub(crate) fn sum(&self, name: &str, with: &[(&str, &str)]) -> f64 {
        let samples = self.samples(name, with);
        assert!(!samples.is_empty(), "no {name}{with:?}");
        samples.iter().map(|(_, value)| value).sum()
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line
        .rsplit_once(' ')
        .unwrap_or_else(|| panic!("no value: {line}"));
    let value = if value == "+Inf" {
        f64::INFINITY
    } else {
        value.parse().expect(line)
    };
    let Some((name, labels)) = series.split_once('{') else {
        assert!(is_name(series, true), "{line}");
        return (series.to_owned(), Labels::new(), value);
    };
    assert!(is_name(name, true), "{line}");
    let mut rest = labels
        .strip_suffix('}')
        .unwrap_or_else(|| panic!("no end of labels: {line}"));
    let mut read = Labels::new();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once("=\"")
            .unwrap_or_else(|| panic!("no label value: {line}"));
        assert!(is_name(key, false), "{key} in {line}");
        let mut text = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next() {
                Some((at, '"')) => break at,
                Some((_, '\\')) => text.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, c @ ('\\' | '"'))) => c,
                    other => panic!("bad escape {other:?} in {line}"),
                }),
                Some((_, c)) => text.push(c),
                None => panic!("no end of a label's value: {line}"),
            }
        };
        assert!(
            read.insert(key.to_owned(), text).is_none(),
            "a label twice: {line}"
        );
        rest = &after[end + 1..];
        if let Some(more) = rest.strip_prefix(',') {
            assert!(!more.is_empty(), "a comma too many: {line}");
            rest = more;
        } else {
            assert!(rest.is_empty(), "no comma: {line}");
        }
    }
    (name.to_owned(), read, value)
}

fn is_name(name: &str, metric: bool) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || (metric && c == ':');
    !name.is_empty() && name.chars().all(valid) && !name.starts_with(|c: char| c.is_ascii_digit())
}
