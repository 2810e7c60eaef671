//! Hydra-style overrides: `key=value`, `+key=value`, values in YAML's flow style as people type them in a shell.

use std::str::FromStr;

use serde_json::{Number, Value};

use crate::TrainError;

/// One `key=value` from the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Dotted key, without Hydra's `+`.
    pub key: String,
    /// Parsed value.
    pub value: Value,
}

impl FromStr for Override {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            TrainError::setting(text, "is not an override; write key=value (lr=1e-4, arch.mlp_t=True)")
        })?;
        let key = key.trim().trim_start_matches('+');
        if key.is_empty() {
            return Err(TrainError::setting(text, "has no key before the equals sign"));
        }
        let value = parse_value(value).map_err(|problem| TrainError::setting(key, problem))?;
        Ok(Self { key: key.to_owned(), value })
    }
}

/// A scalar, or a list of them in brackets, or a list of tables in YAML's flow style: `[{name: arc@ARC}]`.
fn parse_value(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('{')) {
        return serde_saphyr::from_str(text).map_err(|error| {
            let first_line = error.to_string().lines().next().unwrap_or_default().to_owned();
            format!("`{text}` is not a list of tables ({first_line})")
        });
    }
    let Some(inner) = text.strip_prefix('[') else { return Ok(parse_scalar(text)) };
    let inner = inner.strip_suffix(']').ok_or_else(|| format!("`{text}` lacks its closing bracket"))?.trim();
    let items = items(inner).map_err(|problem| format!("`{text}` {problem}"))?;
    Ok(Value::Array(items.into_iter().map(|item| parse_scalar(item.trim())).collect()))
}

/// The items between the commas of a list; commas and brackets within quotes are text.
fn items(inner: &str) -> Result<Vec<&str>, &'static str> {
    let (mut items, mut start) = (Vec::new(), 0);
    let mut quote = None;
    for (place, character) in inner.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            // Within a word, as in `it's`, an apostrophe opens nothing.
            (None, '"' | '\'') if inner[start..place].trim().is_empty() => quote = Some(character),
            (None, '[' | ']' | '{' | '}') => return Err("nests lists or tables, which no setting takes"),
            (None, ',') => {
                items.push(&inner[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return Err("lacks the quote that closes an item");
    }
    // A comma behind the last item is not an item, as in YAML and Python.
    if !inner[start..].trim().is_empty() {
        items.push(&inner[start..]);
    }
    Ok(items)
}

/// YAML 1.1's words for booleans and nothing, then numbers, then text with its quotes taken off.
fn parse_scalar(text: &str) -> Value {
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return Value::String(inner.to_owned());
        }
    }
    match text {
        "True" | "true" => return Value::Bool(true),
        "False" | "false" => return Value::Bool(false),
        "None" | "null" | "~" | "" => return Value::Null,
        _ => {}
    }
    // `pos_encodings=none` is a word of the reference's configs, unlike Python's None.
    if let Ok(integer) = text.replace('_', "").parse::<i64>()
        && text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    {
        return Value::Number(integer.into());
    }
    if let Ok(float) = text.parse::<f64>()
        && text.contains(|c: char| c.is_ascii_digit())
        && let Some(number) = Number::from_f64(float)
    {
        return Value::Number(number);
    }
    Value::String(text.to_owned())
}
