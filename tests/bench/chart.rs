//! The chart: of the table's rows those that a reader asks about first, a panel for each and a bar
//! for each client, as SVG. It brings its background and follows the reader's light or dark, so that
//! it can be read on either, also where a page shows it that does not.

use svg::Document;
use svg::node::element::{Group, Rectangle, Style, Text, Title};

use crate::report::Row;

/// Each is in one row's name.
const SHOWN: [&str; 6] = [
    "a tiny run over TLS: wall",
    "a tiny run over TLS: peak memory",
    "MB in messages of 100 bytes: wall",
    "MB in messages of 100 bytes: peak memory",
    "an event's delay: median",
    "size on disk",
];

const COLOURS: &str = "
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.page { fill: #ffffff }
.bar { fill: #a8b1bb }
.ours { fill: #0969da }
text.ours { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .page { fill: #0d1117 }
  .bar { fill: #59636e }
  .ours { fill: #58a6ff }
}
";

const COLUMNS: usize = 2;
const MARGIN: f64 = 16.0;
const PANEL_WIDTH: f64 = 400.0;
const LABEL_WIDTH: f64 = 120.0;
/// Of the longest bar; the value is written after it.
const BAR_WIDTH: f64 = 196.0;
const LINE: f64 = 20.0;

/// Of the clients in the order of the rows' values, ours first; `below` is one line under all.
pub(crate) fn draw(clients: &[&str], rows: &[Row], below: &str) -> String {
    let lines = clients.len() + 2;
    let panel_height = LINE * lines as f64;
    let width = MARGIN + PANEL_WIDTH * COLUMNS as f64;
    let height = MARGIN + panel_height * SHOWN.len().div_ceil(COLUMNS) as f64 + LINE;
    let mut chart = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(Title::new(
            "coze-workflow beside curl and the SDKs: shorter bars are better",
        ))
        .add(Style::new(COLOURS))
        .add(
            Rectangle::new()
                .set("class", "page")
                .set("width", width)
                .set("height", height),
        );
    let shown = SHOWN
        .iter()
        .filter_map(|name| rows.iter().find(|row| row.what.contains(name)));
    for (place, row) in shown.enumerate() {
        let left = MARGIN + PANEL_WIDTH * (place % COLUMNS) as f64;
        let top = MARGIN + panel_height * (place / COLUMNS) as f64;
        chart = chart.add(panel(clients, row).set("transform", format!("translate({left} {top})")));
    }
    chart
        .add(text(
            MARGIN,
            height - 12.0,
            "small",
            &format!("Shorter is better. {below}"),
        ))
        .to_string()
}

fn panel(clients: &[&str], row: &Row) -> Group {
    let values = (0..clients.len()).filter_map(|column| row.value(column));
    let longest = values.fold(f64::MIN_POSITIVE, f64::max);
    let mut panel = Group::new().add(text(0.0, 14.0, "title", &row.what));
    for (column, client) in clients.iter().enumerate() {
        let Some(value) = row.value(column) else {
            continue;
        };
        let top = LINE * (column + 1) as f64 + 4.0;
        let class = if column == 0 { "bar ours" } else { "bar" };
        // A hair's breadth at least, or the best would look like none.
        let length = (value / longest * BAR_WIDTH).round().max(2.0);
        let bar = Rectangle::new()
            .set("class", class)
            .set("x", LABEL_WIDTH)
            .set("y", top)
            .set("width", length)
            .set("height", LINE - 6.0);
        let class = if column == 0 { "ours" } else { "" };
        panel = panel
            .add(text(0.0, top + 12.0, class, client))
            .add(bar)
            .add(text(
                LABEL_WIDTH + length + 6.0,
                top + 12.0,
                class,
                &row.shown(value),
            ));
    }
    panel
}

fn text(left: f64, baseline: f64, class: &str, content: &str) -> Text {
    Text::new(content)
        .set("x", left)
        .set("y", baseline)
        .set("class", class)
}
