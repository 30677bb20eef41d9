//! `corewire check`: every setting in force, who set it, and what happens when it is reached.

use std::io::{self, Write};

use crate::config::{Configuration, Source};
use crate::messaging::Class;
use crate::server::{connections_possible, raise_descriptor_limit};

/// Writes the table. Names are written in full and blanks end no line, so that it can be searched
/// and compared.
pub(super) fn print(configuration: &Configuration, out: &mut impl Write) -> io::Result<()> {
    let lines = lines(configuration);
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (first, second, third) = (width(0), width(1), width(2));
    for [name, value, source, at_limit] in &lines {
        let line = format!("{name:first$}  {value:second$}  {source:third$}  {at_limit}");
        writeln!(out, "{}", line.trim_end())?;
    }
    // As `corewire serve` does before it counts.
    raise_descriptor_limit();
    let possible = connections_possible();
    if possible < configuration.settings.server.engine.connections_max {
        writeln!(
            out,
            "\nStarted here, engine.connections_max is {possible}: nine tenths of the descriptors that a \
             process may open (ulimit -Hn)."
        )?;
    }
    let is_set = configuration.rows.iter();
    let is_set = is_set.filter(|row| row.source != Source::Default).count();
    let total = configuration.rows.len();
    writeln!(
        out,
        "\nThe configuration is sound: {total} settings, {is_set} of them set."
    )
}

/// The cells, with an empty line before every table of the file.
fn lines(configuration: &Configuration) -> Vec<[String; 4]> {
    let head = ["setting", "value", "from", "when it is reached"];
    let mut lines = vec![head.map(str::to_owned)];
    let mut table = "";
    for row in &configuration.rows {
        if row.setting.table() != table {
            table = row.setting.table();
            lines.push(Default::default());
        }
        // A list goes on below, so that it does not push the other columns away.
        let mut values = row.value.split(", ").map(str::to_owned);
        lines.push([
            row.setting.name.to_owned(),
            values.next().unwrap_or_default(),
            row.source.to_string(),
            row.setting.at_limit.to_owned(),
        ]);
        lines.extend(values.map(|value| [String::new(), value, String::new(), String::new()]));
    }
    if !configuration.rules.is_empty() {
        lines.push(Default::default());
    }
    for row in &configuration.rules {
        let at_limit = match row.rule.class {
            Class::Volatile => "",
            Class::Logged => "the oldest message goes",
        };
        lines.push([
            format!("topics {:?}", row.rule.pattern),
            row.value(),
            row.source.to_string(),
            at_limit.to_owned(),
        ]);
    }
    lines
}
