//! Protobuf's text format, as much of it as a configuration needs: scalars, enums, lists, messages. Writes only.
//! Leaves which fields there are to `config`.

use std::fmt::{Display, Write as _};

/// A message that grows line by line.
#[derive(Debug, Default)]
pub(super) struct Message {
    text: String,
    depth: usize,
}

impl Message {
    /// `name: value` for numbers, truth values and names of enums.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.line(format_args!("{name}: {value}"))
    }

    /// `name: "value"`, escaped.
    pub(super) fn string(&mut self, name: &str, value: &str) -> &mut Self {
        self.line(format_args!("{name}: \"{}\"", escaped(value)))
    }

    /// `name: [ values ]` for a repeated field; nothing for no values.
    pub(super) fn list(&mut self, name: &str, values: impl IntoIterator<Item = usize>) -> &mut Self {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        if values.is_empty() { self } else { self.line(format_args!("{name}: [ {} ]", values.join(", "))) }
    }

    /// `name { … }`; a repeated message is said once for each.
    pub(super) fn message(&mut self, name: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.line(format_args!("{name} {{"));
        self.depth += 1;
        fill(self);
        self.depth -= 1;
        self.line(format_args!("}}"))
    }

    /// A comment of one or more lines.
    pub(super) fn comment(&mut self, text: &str) -> &mut Self {
        text.lines().for_each(|line| {
            self.line(format_args!("# {line}"));
        });
        self
    }

    /// What was written.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, content: impl Display) -> &mut Self {
        writeln!(self.text, "{:indent$}{content}", "", indent = 2 * self.depth).expect("a string takes every text");
        self
    }
}

/// Quotes, backslashes and control characters as the format spells them; everything else stands for itself.
fn escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut text, c| {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    write!(text, "\\{byte:03o}").expect("a string takes every text");
                }
            }
            c => text.push(c),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_nest_and_strings_are_escaped() {
        let mut message = Message::default();
        message.comment("two\nlines").string("name", "a\"b\\c\nd\u{1}é").list("empty", []).message("inner", |inner| {
            inner.plain("count", 3).list("dims", [4, 5]);
        });
        let expected = "# two\n# lines\nname: \"a\\\"b\\\\c\\nd\\001é\"\ninner {\n  count: 3\n  dims: [ 4, 5 ]\n}\n";
        assert_eq!(message.into_text(), expected);
    }
}
