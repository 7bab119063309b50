//! Rows as a table: the names once, then the values of each row on a line (TOON, Token-Oriented Object Notation, 3.0).
//!
//! Beyond that notation: the members of an object inside a row are columns `owner.login`; a list inside a row is a cell
//! of JSON; an empty cell says that the row has no such member. Refuses whatever is not made of rows: it stays JSON.

use std::fmt::Write;

use super::cursor::{Broken, Cursor, Kind, inner};
use super::rows::{Element, Rows};

/// A table wider than this, or with longer names, is no easier to read than JSON.
const MAX_COLUMNS: usize = 64;
const MAX_NAME: usize = 128;
/// How much JSON one table is made of, as a multiple of its room: its columns are those of all rows that are looked at.
const SOURCE: usize = 8;

/// A text in tabular form, how many of its rows are in it, and the byte of the JSON where the next begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) text: String,
    pub(super) shown: usize,
    pub(super) next: usize,
}

/// Writes a whole text whose largest array is `rows`, with as many of them as fit into `room`.
pub(super) fn document(doc: &str, rows: &Rows, room: usize) -> Option<Table> {
    let mut cursor = Cursor::new(doc);
    if cursor.kind() != Kind::Object || rows.open == 0 {
        return table(doc, rows, rows.first, &Head::default(), room);
    }
    let mut envelope = Envelope { doc, rows, room, out: String::new(), slot: None };
    envelope.members(&mut cursor, 0).ok()?;
    let Envelope { mut out, slot, .. } = envelope;
    let (at, head) = slot?;
    let table = table(doc, rows, rows.first, &head, room.checked_sub(out.len())?)?;
    out.insert_str(at, &table.text);
    let text = out.strip_prefix('\n').unwrap_or(&out).to_owned();
    Some(Table { text, ..table })
}

/// Writes the rows from the byte `at` on, as many as fit into `room`.
pub(super) fn part(doc: &str, rows: &Rows, at: usize, room: usize) -> Option<Table> {
    table(doc, rows, at, &Head::default(), room)
}

/// What stands before the number of rows: the line, its indent, the name.
#[derive(Debug, Default)]
struct Head {
    start: String,
    indent: usize,
}

fn table(doc: &str, rows: &Rows, at: usize, head: &Head, room: usize) -> Option<Table> {
    let most = room.saturating_mul(SOURCE);
    let elements = || rows.elements(doc, at).take_while(|element| element.end - at <= most);
    let columns = columns(elements())?;
    let names: Vec<String> = columns.iter().map(|name| key(name)).collect();
    let names = names.join(",");
    let room = room.checked_sub(head.start.len() + names.len() + "[]{}:".len() + 20)?;
    let (mut lines, mut shown, mut next) = (String::new(), 0, at);
    for element in elements() {
        let before = lines.len();
        lines.push('\n');
        lines.extend(std::iter::repeat_n(' ', head.indent + 2));
        row(element.text, &columns, &mut lines)?;
        if lines.len() > room {
            lines.truncate(before);
            break;
        }
        (shown, next) = (shown + 1, element.next);
    }
    (shown > 0).then(|| Table { text: format!("{}[{shown}]{{{names}}}:{lines}", head.start), shown, next })
}

/// The names of all cells, in the order in which they first appear.
fn columns<'d>(mut rows: impl Iterator<Item = Element<'d>>) -> Option<Vec<String>> {
    let mut columns: Vec<String> = Vec::new();
    let read = rows.try_for_each(|element| {
        let mut hint = 0;
        cells(element.text, &mut |name, _| {
            let place = place(&columns, hint, name);
            hint = place.map_or(hint, |place| place + 1);
            if place.is_none() {
                columns.push(name.to_owned());
            }
            if columns.len() > MAX_COLUMNS { Err(Broken) } else { Ok(()) }
        })
    });
    (read.is_ok() && !columns.is_empty()).then_some(columns)
}

/// Where a column is; nearly always at `hint`, since rows name their members in one order.
fn place(columns: &[String], hint: usize, name: &str) -> Option<usize> {
    match columns.get(hint) {
        Some(column) if column == name => Some(hint),
        Some(_) | None => columns.iter().position(|column| column == name),
    }
}

fn row(element: &str, columns: &[String], out: &mut String) -> Option<()> {
    let mut values: Vec<Option<&str>> = vec![None; columns.len()];
    let mut hint = 0;
    cells(element, &mut |name, value| {
        let place = place(columns, hint, name).ok_or(Broken)?;
        hint = place + 1;
        // One name for two cells: nobody could tell which it is.
        match values.get_mut(place) {
            Some(free @ None) => *free = Some(value),
            Some(Some(_)) | None => return Err(Broken),
        }
        Ok(())
    })
    .ok()?;
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        cell(value.unwrap_or_default(), out);
    }
    Some(())
}

/// Reports each cell of a row: the name as it is written, with those of the objects around it, and the value.
fn cells<'d>(element: &'d str, each: &mut impl FnMut(&str, &'d str) -> Result<(), Broken>) -> Result<(), Broken> {
    let mut cursor = Cursor::new(element);
    if cursor.kind() != Kind::Object {
        return Err(Broken);
    }
    flatten(&mut cursor, &mut String::new(), each)
}

fn flatten<'d>(
    cursor: &mut Cursor<'d>,
    path: &mut String,
    each: &mut impl FnMut(&str, &'d str) -> Result<(), Broken>,
) -> Result<(), Broken> {
    cursor.members(&mut |cursor, name| {
        let before = path.len();
        if before > 0 {
            path.push('.');
        }
        path.push_str(inner(name));
        if path.len() > MAX_NAME {
            return Err(Broken);
        }
        if cursor.kind() == Kind::Object && !cursor.is_at("{}") {
            flatten(cursor, path, each)?;
        } else {
            let value = cursor.value()?;
            each(path, value)?;
        }
        path.truncate(before);
        Ok(())
    })
}

/// The members around the rows, one on a line.
struct Envelope<'d, 'r> {
    doc: &'d str,
    rows: &'r Rows,
    room: usize,
    out: String,
    /// Where the rows go.
    slot: Option<(usize, Head)>,
}

impl<'d> Envelope<'d, '_> {
    fn members(&mut self, cursor: &mut Cursor<'d>, indent: usize) -> Result<(), Broken> {
        cursor.members(&mut |cursor, name| {
            let start = format!("\n{:indent$}{}", "", key(inner(name)));
            match cursor.kind() {
                Kind::Array => self.array(cursor, start, indent)?,
                Kind::Object => {
                    self.out.push_str(&start);
                    self.out.push(':');
                    self.members(cursor, indent + 2)?;
                }
                Kind::Text | Kind::Null | Kind::Plain => {
                    self.out.push_str(&start);
                    self.out.push_str(": ");
                    cell(cursor.scalar()?, &mut self.out);
                }
            }
            if self.out.len() > self.room { Err(Broken) } else { Ok(()) }
        })
    }

    fn array(&mut self, cursor: &mut Cursor<'d>, start: String, indent: usize) -> Result<(), Broken> {
        let from = cursor.offset();
        let rows = Rows::array(cursor)?;
        if from == self.rows.open {
            self.slot = Some((self.out.len(), Head { start, indent }));
            return Ok(());
        }
        let plain = |text: &str| !text.starts_with(['[', '{']);
        if rows.elements(self.doc, rows.first).all(|element| plain(element.text)) {
            self.out.push_str(&start);
            // Text does not fail to be written to.
            write!(self.out, "[{}]:", rows.of).map_err(|_| Broken)?;
            for (index, element) in rows.elements(self.doc, rows.first).enumerate() {
                self.out.push(if index == 0 { ' ' } else { ',' });
                cell(element.text, &mut self.out);
            }
            return Ok(());
        }
        let table = table(self.doc, &rows, rows.first, &Head { start, indent }, self.room).ok_or(Broken)?;
        self.out.push_str(&table.text);
        // Only the largest array is shown in parts.
        if table.shown < rows.of { Err(Broken) } else { Ok(()) }
    }
}

/// A name as TOON writes it.
fn key(name: &str) -> String {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let plain = starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

/// A value as TOON writes it; nothing for none.
fn cell(value: &str, out: &mut String) {
    match value.as_bytes().first() {
        Some(b'[' | b'{') => {
            out.push('"');
            for character in value.chars() {
                if matches!(character, '"' | '\\') {
                    out.push('\\');
                }
                out.push(character);
            }
            out.push('"');
        }
        Some(b'"') if !needs_quotes(inner(value)) => out.push_str(inner(value)),
        Some(_) | None => out.push_str(value),
    }
}

/// Whether a string would be taken for something else without its quotes.
fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.starts_with(['-', ' '])
        || text.ends_with(' ')
        || matches!(text, "true" | "false" | "null")
        || text.bytes().any(|byte| b",:\"\\[]{}".contains(&byte) || byte == 0x7f)
        || (text.starts_with(|first: char| first.is_ascii_digit() || ".+".contains(first))
            && text.parse::<f64>().is_ok())
        || text.contains(|character: char| character.is_whitespace() && character != ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toon(doc: &str) -> Option<String> {
        Some(document(doc, &Rows::find(doc, 1)?, 10_000)?.text)
    }

    #[test]
    fn rows_have_their_names_once() {
        let doc = r#"[{"id":1,"name":"Ann Lee","ok":true},{"id":2,"name":"a, b","ok":null}]"#;
        assert_eq!(toon(doc).unwrap(), "[2]{id,name,ok}:\n  1,Ann Lee,true\n  2,\"a, b\",null");
    }

    #[test]
    fn what_stands_around_the_rows_stands_around_the_table() {
        let doc = r#"{"count":2,"next":"https://a/?p=2","links":{"self":"x","none":{}},"tags":["a","1"],"results":[{"a":1},{"a":2}],"end":null}"#;
        let text = "count: 2\nnext: \"https://a/?p=2\"\nlinks:\n  self: x\n  none:\ntags[2]: a,\"1\"\nresults[2]{a}:\n  1\n  2\nend: null";
        assert_eq!(toon(doc).unwrap(), text);
        assert_eq!(toon(r#"{"data":{"rows":[{"a":1}]}}"#).unwrap(), "data:\n  rows[1]{a}:\n    1");
    }

    #[test]
    fn objects_in_rows_are_columns_lists_are_cells_and_what_is_absent_is_empty() {
        let doc = r#"[{"o":{"l":"x","p":{"q":1}},"t":["a","b"]},{"t":[],"e":{}},{"o":null,"odd name":""}]"#;
        let text = "[3]{o.l,o.p.q,t,e,o,\"odd name\"}:\n  x,1,\"[\\\"a\\\",\\\"b\\\"]\",,,\n  ,,\"[]\",\"{}\",,\n  ,,,,null,\"\"";
        assert_eq!(toon(doc).unwrap(), text);
    }

    #[test]
    fn a_string_that_could_be_something_else_keeps_its_quotes() {
        for text in ["", "true", "null", "1", "05", "1e5", "-x", " a", "a ", "a:b", "a,b", "[x", "{", r"a\n", r#"a\"b"#]
        {
            let doc = format!("[{{\"a\":\"{text}\"}}]");
            assert_eq!(toon(&doc).unwrap(), format!("[1]{{a}}:\n  \"{text}\""));
        }
        for text in ["a b", "é", "1.2.3", "2026-01-01", "a/b", "inf", "(x)"] {
            assert_eq!(toon(&format!("[{{\"a\":\"{text}\"}}]")).unwrap(), format!("[1]{{a}}:\n  {text}"));
        }
    }

    #[test]
    fn what_is_not_made_of_rows_stays_json() {
        for doc in [
            r#"{"a":1}"#,
            "[1,2]",
            "[]",
            "[{}]",
            r#"[{"a":1},2]"#,
            r#"[{"a":1,"a":2}]"#,
            r#"[{"a.b":1,"a":{"b":2}}]"#,
            r#"{"x":[[1]],"rows":[{"a":1},{"a":2}]}"#,
        ] {
            assert_eq!(toon(doc), None, "{doc}");
        }
    }

    #[test]
    fn as_many_rows_are_written_as_fit() {
        let doc = format!("[{}]", vec![r#"{"a":"xxxxxxxx"}"#; 100].join(","));
        let rows = Rows::find(&doc, 1).unwrap();
        let table = document(&doc, &rows, 200).unwrap();
        assert!(table.shown < 20 && table.text.len() <= 200, "{table:?}");
        assert_eq!(table.text.lines().count(), table.shown + 1);
        let rest = part(&doc, &rows, table.next, 10_000).unwrap();
        assert_eq!(rest.shown, 100 - table.shown);
        assert_eq!(document(&doc, &rows, 30), None);
    }
}
