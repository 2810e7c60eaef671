//! Colour permutations and symmetries of a whole puzzle, and the names that record them; the reference's `aug` and
//! `inverse_aug`. Owns draws and names; leaves duplicates among augmentations to the builder.

use std::fmt::{self, Display};

use super::error::ArcError;
use super::grid::Grid;
use crate::Dihedral;
use crate::numpy::LegacyGenerator;

/// Number of colours.
pub const COLOURS: usize = 10;
/// Stands between a task's name, the transform and the colours in the name of an augmented puzzle.
pub const PUZZLE_ID_SEPARATOR: &str = "|||";

/// A permutation of the ten colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColourMap([u8; COLOURS]);

impl ColourMap {
    /// Every colour stays.
    pub const IDENTITY: Self = Self([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

    /// The map that gives colour `colours[c]` to cells of colour `c`; `None` unless it is a permutation.
    pub fn new(colours: [u8; COLOURS]) -> Option<Self> {
        let mut seen = [false; COLOURS];
        for colour in colours {
            let seen = seen.get_mut(usize::from(colour))?;
            if std::mem::replace(seen, true) {
                return None;
            }
        }
        Some(Self(colours))
    }

    /// New colours by old colour.
    pub const fn colours(&self) -> &[u8; COLOURS] {
        &self.0
    }

    /// The map that undoes this one.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut inverse = [0; COLOURS];
        for (old, &new) in self.0.iter().enumerate() {
            inverse[usize::from(new)] = old as u8;
        }
        Self(inverse)
    }

    /// The new colour of a cell.
    pub(super) fn map(&self, colour: u8) -> u8 {
        self.0[usize::from(colour)]
    }
}

impl Display for ColourMap {
    /// Ten digits: the new colours of colours 0 to 9.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|colour| write!(formatter, "{colour}"))
    }
}

/// What is done to all grids of a puzzle: colours first, then the transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Augmentation {
    /// Rotation or reflection.
    pub transform: Dihedral,
    /// New colours.
    pub colours: ColourMap,
}

impl Augmentation {
    /// Changes nothing.
    pub const IDENTITY: Self = Self { transform: Dihedral::IDENTITY, colours: ColourMap::IDENTITY };

    /// Draws an augmentation as the reference's `aug` does: a transform, then a permutation that keeps black.
    pub fn draw(rng: &mut LegacyGenerator) -> Self {
        let id = rng.randint(0..Dihedral::COUNT as u64) as usize;
        let mut colours = ColourMap::IDENTITY.0;
        rng.shuffle(&mut colours[1..]);
        Self { transform: Dihedral::ALL[id], colours: ColourMap(colours) }
    }

    /// The augmented grid.
    #[must_use]
    pub fn apply(&self, grid: &Grid) -> Grid {
        recoloured(grid, &self.colours).transformed(self.transform)
    }

    /// The grid whose augmentation is `grid`.
    #[must_use]
    pub fn undo(&self, grid: &Grid) -> Grid {
        recoloured(&grid.transformed(self.transform.inverse()), &self.colours.inverse())
    }

    /// Name of the augmented puzzle of a task: `task|||t3|||0123456789`.
    pub fn name(&self, task: &str) -> String {
        format!("{task}{self}")
    }
}

impl Display for Augmentation {
    /// What stands behind the task in the name of an augmented puzzle.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PUZZLE_ID_SEPARATOR}t{}{PUZZLE_ID_SEPARATOR}{}", self.transform.id(), self.colours)
    }
}

/// Reads a puzzle's name: the task and what was done to it ([`Augmentation::undo`] takes a prediction back). A name
/// without separator is that of an original puzzle.
///
/// As in the reference, the task's name ends at the first separator and the augmentation stands behind the last two.
pub fn inverse_aug(name: &str) -> Result<(&str, Augmentation), ArcError> {
    let Some((task, _)) = name.split_once(PUZZLE_ID_SEPARATOR) else {
        return Ok((name, Augmentation::IDENTITY));
    };
    let mut parts = name.rsplit(PUZZLE_ID_SEPARATOR);
    let colours = parts.next().and_then(parse_colours);
    let transform = parts.next().and_then(parse_transform);
    match (transform, colours) {
        (Some(transform), Some(colours)) => Ok((task, Augmentation { transform, colours })),
        _ => Err(ArcError::Name { name: name.chars().take(80).collect() }),
    }
}

fn parse_transform(text: &str) -> Option<Dihedral> {
    match text.strip_prefix('t')?.as_bytes() {
        [digit @ b'0'..=b'9'] => Dihedral::from_id(usize::from(digit - b'0')),
        _ => None,
    }
}

fn parse_colours(text: &str) -> Option<ColourMap> {
    let digits: [u8; COLOURS] = text.as_bytes().try_into().ok()?;
    ColourMap::new(digits.map(|digit| digit.wrapping_sub(b'0')))
}

fn recoloured(grid: &Grid, colours: &ColourMap) -> Grid {
    let cells = grid.cells().iter().map(|&cell| colours.map(cell)).collect();
    Grid::from_valid(grid.rows(), grid.columns(), cells)
}
