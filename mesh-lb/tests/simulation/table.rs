//! What a scenario found, as a table that is printed in one piece.

use std::fmt::Write as _;

pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    #[expect(clippy::print_stdout, reason = "that is what it is for")]
    pub(crate) fn print(&self) {
        let header: Vec<String> = self.columns.iter().map(|column| (*column).to_owned()).collect();
        let mut text = format!("\n{}\n", self.title);
        for row in std::iter::once(&header).chain(&self.rows) {
            for (at, cell) in row.iter().enumerate() {
                let all = std::iter::once(&header).chain(&self.rows);
                let width = all
                    .filter_map(|row| row.get(at))
                    .map(String::len)
                    .max()
                    .unwrap_or(0);
                let _ = match at {
                    0 => write!(text, "  {cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                };
            }
            text.push('\n');
        }
        print!("{text}");
    }
}

pub(crate) fn percent(share: f64) -> String {
    format!("{share:.2} %")
}

pub(crate) fn millis(duration: std::time::Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

pub(crate) fn seconds(duration: std::time::Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
