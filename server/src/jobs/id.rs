//! Names of jobs: what is to be learned and on top of what, so that the same task sent twice is one job.

use std::fmt;
use std::str::FromStr;

use datasets::arc::{ArcPair, SentTask};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// 128 bits, written as 32 hexadecimal digits in lower case: nothing else reaches a path of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(u128);

impl JobId {
    const DIGITS: usize = 32;

    /// Of the demonstrations of a task and the sha256 of the weights that learn it.
    pub fn of(sent: &SentTask, base: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        hash.update(base.unwrap_or("scratch"));
        let grids = |pair: &ArcPair| [pair.input.clone(), pair.output.clone()];
        for grid in sent.task.train.iter().flat_map(grids) {
            // A grid has at most 30 rows and columns.
            hash.update([grid.rows() as u8, grid.columns() as u8]);
            hash.update(grid.cells());
        }
        let digest = hash.finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(first))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != Self::DIGITS || !text.bytes().all(is_digit) {
            return Err(());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl utoipa::PartialSchema for JobId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9a-f]{32}$"))
            .into()
    }
}

impl utoipa::ToSchema for JobId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_is_read() {
        let id = JobId(0x0abc);
        assert_eq!(id.to_string().parse(), Ok(id));
        let text = id.to_string();
        for wrong in ["", "..", &text[1..], &text.to_uppercase(), &format!("{text}0"), &format!("+{}", &text[1..])] {
            assert_eq!(wrong.parse::<JobId>(), Err(()), "{wrong}");
        }
    }
}
