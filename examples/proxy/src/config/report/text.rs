//! How a report is written.

use std::fmt;

use super::Problem;
use super::mask::masked;

/// A longer line of the file is shown in part, around what is meant.
const WIDTH: usize = 120;

pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    problems: &[Problem],
    lines: &[String],
    is_whole: bool,
) -> fmt::Result {
    let file = Printable(file);
    match problems.len() {
        count if !is_whole => writeln!(
            f,
            "{file}: more than {count} problems; the first {count} are told"
        )?,
        1 => writeln!(f, "{file}: 1 problem")?,
        count => writeln!(f, "{file}: {count} problems")?,
    }
    for (problem, line) in problems.iter().zip(lines) {
        write!(f, "\n{file}:{}:{}:", problem.line(), problem.column())?;
        match problem.path.as_str() {
            "" => writeln!(f)?,
            path => writeln!(f, " {}", Printable(path))?,
        }
        writeln!(f, "    found: {}", Printable(&masked(&problem.found)))?;
        writeln!(f, "    expected: {}", Printable(&problem.expected))?;
        if let Some(hint) = &problem.hint {
            writeln!(f, "    hint: {}", Printable(hint))?;
        }
        excerpt(f, problem, line)?;
    }
    Ok(())
}

/// The line, and a mark under what is meant.
fn excerpt(f: &mut fmt::Formatter<'_>, problem: &Problem, line: &str) -> fmt::Result {
    if line.trim().is_empty() {
        return Ok(());
    }
    let place = problem.place;
    let column = usize::try_from(place.column - 1).unwrap_or(usize::MAX);
    let length = line.chars().count();
    let column = column.min(length);
    let (first, last) = match length <= WIDTH {
        true => (0, length),
        false => (column.saturating_sub(WIDTH / 2), length.min(column + WIDTH / 2)),
    };
    let shown: String = masked(line)
        .chars()
        .skip(first)
        .take(last - first)
        .map(printable)
        .collect();
    let cut = if first > 0 { "…" } else { "" };
    let more = if last < length { "…" } else { "" };
    let number = place.line.to_string();
    let margin = number.len();
    writeln!(f, "    {number} | {cut}{}{more}", shown.trim_end())?;
    let before = column - first + cut.chars().count();
    let width = usize::try_from(place.width).unwrap_or(usize::MAX);
    let width = width.clamp(1, (last - column).max(1));
    writeln!(f, "    {:margin$} | {:before$}{:^<width$}", "", "", "")
}

/// What a terminal would act on is shown, not done.
struct Printable<'t>(&'t str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().map(printable).try_for_each(|c| f.write_char(c))
    }
}

fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}
