//! The sites of a batch of boards on libtorch: which of them live, and how they are wired. Read off the tokens, on the
//! host; leaves arithmetic to `backend` and to the kernels.

use models::{STENCIL, UNIT_KINDS};
use tch::{Device, Kind, Tensor};

/// What sites of a batch are.
#[derive(Debug)]
pub struct Sites {
    /// `[batch, seq_len]` int64.
    pub(crate) tokens: Tensor,
    /// Cells a side.
    pub(crate) side: i64,
    /// Whether sites are candidates (cell, digit), `side` for each cell; else cells.
    pub(crate) are_candidates: bool,
    /// The live sites alone, where operations take them so; else states are dense, and zero where nothing lives.
    pub(crate) live: Option<LiveSites>,
    /// `[batch, sites]` bool.
    pub(crate) mask: Tensor,
}

/// The live sites of a batch, board after board, for the fused operations.
#[derive(Debug)]
pub(crate) struct LiveSites {
    /// `[live]` int64: place among all sites of the batch.
    pub(crate) places: Tensor,
    /// `[live]` int64: board of the batch.
    pub(crate) boards: Tensor,
    /// `[batch + 1]` int32: first site of each board.
    pub(crate) rows: Tensor,
    /// int32; of candidates `[live, 4]` units, numbered from 0 in each board, kind by kind; of cells `[live, 9]` live
    /// cells of the board around each, or their number where nothing lives.
    pub(crate) links: Tensor,
    /// `[batch + 1]` int32: first unit of each board; empty for cells.
    pub(crate) units: Tensor,
}

impl Sites {
    /// Candidates of the boards `tokens` `[batch, seq_len]`, as `models::Backend::candidates` has them.
    pub(crate) fn candidates(tokens: &Tensor, packed: bool) -> Self {
        let boards = Boards::read(tokens);
        let side = boards.side;
        let mut mask = Vec::with_capacity(boards.tokens.len() * side);
        let units = UnitsOfBoard::new(side);
        for board in boards.each() {
            mask.extend(units.live(board));
        }
        Self::new(tokens, side, true, &mask, packed.then(|| live_candidates(&mask, side)))
    }

    /// Cells of the boards `tokens` `[batch, seq_len]` whose token is none of `blocked`.
    pub(crate) fn cells(tokens: &Tensor, blocked: &[usize], packed: bool) -> Self {
        let boards = Boards::read(tokens);
        let mask: Vec<bool> = boards.tokens.iter().map(|&token| !blocked.contains(&(token as usize))).collect();
        Self::new(tokens, boards.side, false, &mask, packed.then(|| live_cells(&mask, boards.side)))
    }

    fn new(tokens: &Tensor, side: usize, are_candidates: bool, mask: &[bool], live: Option<LiveSites>) -> Self {
        let batch = tokens.size()[0];
        let mask = Tensor::from_slice(mask).view([batch, -1]).to_device(tokens.device());
        Self { tokens: tokens.shallow_clone(), side: side as i64, are_candidates, live, mask }
    }

    /// Boards of the batch.
    pub(crate) fn batch(&self) -> i64 {
        self.mask.size()[0]
    }

    /// Sites of a board, live or not.
    pub(crate) fn count(&self) -> i64 {
        self.mask.size()[1]
    }

    /// Rows of a box.
    pub(crate) fn box_rows(&self) -> i64 {
        self.side.isqrt()
    }

    /// `[batch, sites, 1]`, 1 where a site lives, in type `kind`.
    pub(crate) fn weights(&self, kind: Kind) -> Tensor {
        self.mask.to_kind(kind).unsqueeze(-1)
    }
}

/// Tokens of a batch of square boards on the host.
struct Boards {
    tokens: Vec<i64>,
    side: usize,
}

impl Boards {
    fn read(tokens: &Tensor) -> Self {
        let cells = tokens.size()[1] as usize;
        let tokens = tokens.to_device(Device::Cpu).to_kind(Kind::Int64).contiguous();
        let mut values = vec![0_i64; tokens.numel()];
        let count = values.len();
        tokens.copy_data(&mut values, count);
        Self { tokens: values, side: cells.isqrt() }
    }

    fn each(&self) -> impl Iterator<Item = &[i64]> {
        self.tokens.chunks_exact(self.side * self.side)
    }
}

/// The token of a blank; that of digit `d`, from 1, is `d + 1`.
const BLANK: i64 = 1;

/// Which units a candidate belongs to on boards of one side.
struct UnitsOfBoard {
    side: usize,
    box_rows: usize,
}

impl UnitsOfBoard {
    fn new(side: usize) -> Self {
        Self { side, box_rows: side.isqrt() }
    }

    /// Units of a candidate by kind, each kind counted from 0: its cell, and its digit in its row, column and box.
    fn of(&self, cell: usize, digit: usize) -> [usize; UNIT_KINDS] {
        let Self { side, box_rows } = *self;
        let (row, column) = (cell / side, cell % side);
        let boxes_across = box_rows;
        let square = row / box_rows * boxes_across + column / (side / box_rows);
        [cell, row * side + digit, column * side + digit, square * side + digit]
    }

    /// For each candidate whether it is open: its cell blank, and its digit given in none of its units.
    fn live(&self, board: &[i64]) -> Vec<bool> {
        let side = self.side;
        let mut taken = vec![[false; UNIT_KINDS]; side * side];
        for (cell, &token) in board.iter().enumerate() {
            let digit = token - BLANK - 1;
            if (0..side as i64).contains(&digit) {
                for (kind, unit) in self.of(cell, digit as usize).into_iter().enumerate() {
                    taken[unit][kind] = true;
                }
            }
        }
        let is_open = |cell: usize, digit: usize| {
            let units = self.of(cell, digit);
            board[cell] == BLANK && (0..UNIT_KINDS).all(|kind| !taken[units[kind]][kind])
        };
        (0..side * side)
            .flat_map(|cell| (0..side).map(move |digit| (cell, digit)))
            .map(|(c, d)| is_open(c, d))
            .collect()
    }
}

fn live_candidates(mask: &[bool], side: usize) -> LiveSites {
    let mut live = Builder::default();
    let of_board = UnitsOfBoard::new(side);
    let mut units = vec![0_i32];
    for board in mask.chunks_exact(side.pow(3)) {
        let begin = live.places.len();
        live.board(board);
        let sites: Vec<usize> = live.places[begin..].iter().map(|&place| place as usize % side.pow(3)).collect();
        let of_site: Vec<_> = sites.iter().map(|site| of_board.of(site / side, site % side)).collect();
        // Only units that have a live candidate get a number.
        let mut next = 0_i32;
        let mut numbers = vec![[0_i32; UNIT_KINDS]; side * side];
        for kind in 0..UNIT_KINDS {
            let mut used = vec![false; side * side];
            for units in &of_site {
                used[units[kind]] = true;
            }
            for unit in (0..side * side).filter(|&unit| used[unit]) {
                numbers[unit][kind] = next;
                next += 1;
            }
        }
        for site_units in &of_site {
            live.links.extend((0..UNIT_KINDS).map(|kind| numbers[site_units[kind]][kind]));
        }
        units.push(units.last().copied().unwrap_or_default() + next);
    }
    live.finish(UNIT_KINDS, &units)
}

fn live_cells(mask: &[bool], side: usize) -> LiveSites {
    let mut live = Builder::default();
    for board in mask.chunks_exact(side * side) {
        let begin = live.places.len();
        live.board(board);
        let count = (live.places.len() - begin) as i32;
        let mut numbers = vec![count; side * side];
        let cells: Vec<usize> = live.places[begin..].iter().map(|&place| place as usize % (side * side)).collect();
        cells.iter().zip(0..).for_each(|(&cell, number)| numbers[cell] = number);
        for cell in cells {
            let (row, column) = (cell / side, cell % side);
            live.links.extend((0..STENCIL).map(|neighbour| {
                // Above or left of the first row or column wraps to a huge number, which is outside as well.
                let (row, column) = ((row + neighbour / 3).wrapping_sub(1), (column + neighbour % 3).wrapping_sub(1));
                if row < side && column < side { numbers[row * side + column] } else { count }
            }));
        }
    }
    live.finish(STENCIL, &[])
}

#[derive(Default)]
struct Builder {
    places: Vec<i64>,
    boards: Vec<i64>,
    rows: Vec<i32>,
    links: Vec<i32>,
    seen: usize,
}

impl Builder {
    fn board(&mut self, mask: &[bool]) {
        self.rows.push(self.places.len() as i32);
        let board = self.rows.len() as i64 - 1;
        let live = mask.iter().enumerate().filter(|(_, live)| **live);
        self.places.extend(live.map(|(site, _)| (self.seen + site) as i64));
        self.boards.resize(self.places.len(), board);
        self.seen += mask.len();
    }

    fn finish(mut self, links: usize, units: &[i32]) -> LiveSites {
        self.rows.push(self.places.len() as i32);
        LiveSites {
            places: Tensor::from_slice(&self.places),
            boards: Tensor::from_slice(&self.boards),
            rows: Tensor::from_slice(&self.rows),
            links: Tensor::from_slice(&self.links).view([-1, links as i64]),
            units: Tensor::from_slice(units),
        }
    }
}
