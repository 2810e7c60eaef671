//! The characters of a maze: which of them stand for walls, free cells, start and goal, and when that is ambiguous.
//! Leaves lines and matrices to [`super::text`] and [`super::matrix`].

use super::{Cell, MazeDrawing, MazeError, MazeShape, Spelling};

/// Characters that stand for walls, whatever else is in the maze.
const WALLS: [char; 5] = ['#', '█', '▓', '■', '⬛'];
/// Characters that stand for free cells, whatever else is in the maze.
const FREE: [char; 5] = [' ', '.', '░', '□', '⬜'];
/// Pairs of a start and a goal; the first that a maze has both of counts.
const ENDS: [(&[char], &[char]); 4] = [
    (&['S', 's'], &['G', 'g', 'E', 'e', 'F', 'f', 'X', 'x']),
    (&['A'], &['B']),
    (&['E', 'e'], &['X', 'x']),
    (&['2'], &['3']),
];

/// Whether a character may stand for a wall.
pub(super) fn is_wall_mark(character: char) -> bool {
    WALLS.contains(&character) || matches!(character, '1' | 'X' | 'x')
}

/// Whether a character shows a free cell, which a blank does not.
pub(super) fn is_free_mark(character: char) -> bool {
    character != ' ' && FREE.contains(&character)
}

/// Whether walls or free cells are written as something else than 0 and 1.
pub(super) fn has_marks(mut characters: impl Iterator<Item = char>) -> bool {
    characters.any(|character| WALLS.contains(&character) || is_free_mark(character))
}

/// Finds out what the characters stand for.
pub(super) fn drawing_of(columns: usize, characters: &[char]) -> Result<MazeDrawing, MazeError> {
    let rows = characters.len() / columns.max(1);
    if columns > MazeShape::MAX_SIDE || rows > MazeShape::MAX_SIDE {
        return Err(MazeError::Size { rows, columns });
    }
    let marks = Marks { characters, columns: columns.max(1) };
    let spelling = marks.spelling()?;
    let cells = characters.iter().enumerate().map(|(place, &character)| {
        Cell::ALL
            .into_iter()
            .find(|&cell| spelling.character(cell) == character)
            .ok_or_else(|| marks.unknown(character, place))
    });
    MazeDrawing::from_cells(columns, cells.collect::<Result<_, _>>()?, spelling)
}

/// All characters of a maze.
struct Marks<'a> {
    characters: &'a [char],
    columns: usize,
}

impl Marks<'_> {
    fn count(&self, wanted: char) -> usize {
        self.characters.iter().filter(|&&character| character == wanted).count()
    }

    fn has(&self, wanted: char) -> bool {
        self.characters.contains(&wanted)
    }

    fn spelling(&self) -> Result<Spelling, MazeError> {
        let (start, goal) = self.ends();
        let wall = self.wall(start, goal)?;
        let free = self.one_of(&FREE, "free cells")?.unwrap_or(' ');
        let is_binary = (self.has('0') || self.has('1')) && !has_marks(self.characters.iter().copied());
        let (wall, free) = if is_binary { self.binary()? } else { (wall.unwrap_or('#'), free) };
        Ok(Spelling { wall, free, start, goal })
    }

    /// The letters of start and goal: of a pair whose two ends are there, else of one end that is.
    fn ends(&self) -> (char, char) {
        // Several `X` are walls.
        let present = |marks: &[char]| {
            let once = |mark: char| self.has(mark) && (!matches!(mark, 'X' | 'x') || self.count(mark) == 1);
            marks.iter().copied().find(|&mark| once(mark))
        };
        for (starts, goals) in ENDS {
            if let (Some(start), Some(goal)) = (present(starts), present(goals)) {
                return (start, goal);
            }
        }
        (present(&['S', 's']).unwrap_or('S'), present(&['G', 'g']).unwrap_or('G'))
    }

    /// The character of the walls, where it is none of a matrix of 0 and 1.
    fn wall(&self, start: char, goal: char) -> Result<Option<char>, MazeError> {
        let crosses = ['X', 'x'].into_iter().find(|&cross| ![start, goal].contains(&cross) && self.count(cross) > 1);
        match (self.one_of(&WALLS, "walls")?, crosses) {
            (Some(_), Some(cross)) => Err(MazeError::Ambiguous {
                found: format!("{} cells hold '{cross}' beside other walls", self.count(cross)),
                readings: "'X' may be a wall or the exit: write walls as '#' and the goal as 'G'",
            }),
            (wall, cross) => Ok(wall.or(cross)),
        }
    }

    /// The only one of `marks` that the maze has, if any.
    fn one_of(&self, marks: &[char], what: &str) -> Result<Option<char>, MazeError> {
        let mut present = marks.iter().copied().filter(|&mark| self.has(mark));
        match (present.next(), present.next()) {
            (Some(one), Some(other)) => Err(MazeError::Ambiguous {
                found: format!("both {one:?} and {other:?} are there, which stand for {what}"),
                readings: "they may be the same or not: write all of them alike, free cells as '.' and walls as '#'",
            }),
            (one, _) => Ok(one),
        }
    }

    /// Wall and free cell of a matrix of 0 and 1. A maze that ones enclose has them as walls; else nothing tells.
    fn binary(&self) -> Result<(char, char), MazeError> {
        let rows = self.characters.len() / self.columns;
        let is_edge = |place: usize| {
            let (row, column) = (place / self.columns, place % self.columns);
            row == 0 || row + 1 == rows || column == 0 || column + 1 == self.columns
        };
        let edge_has = |digit: char| (0..self.characters.len()).any(|at| is_edge(at) && self.characters[at] == digit);
        if edge_has('1') && !edge_has('0') {
            return Ok(('1', '0'));
        }
        Err(MazeError::Ambiguous {
            found: "the matrix has 0 and 1, and no wall of ones around it".to_owned(),
            readings: "'1' may be a wall or a free cell: write walls as '#' and free cells as '.'",
        })
    }

    fn unknown(&self, character: char, place: usize) -> MazeError {
        MazeError::Character { character, row: place / self.columns + 1, column: place % self.columns + 1 }
    }
}
