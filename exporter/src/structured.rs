//! The structured mixers as nodes, for boards of any size: sizes are computed from the shape of the tokens when the graph
//! runs. In the flavor `kernels` they are operators of this project on live sites alone (`site_operators`), else standard
//! operators on all sites.
//!
//! Where states are dense, sites where nothing lives hold zeros from the start. Products and gates leave a zero as it is, so that a mask is
//! needed only where something reaches such a site from outside: what units answer, and what heads say.

use models::{Backend, CERTAIN, Linear, LocalMixing, PART_OF_KIND, SwiGlu, UNIT_PARTS, UNIT_SUM_SCALE, UnitsMixing};

use crate::emitter::Emitter;
use crate::graph::{Symbol, float_attribute, int_attribute, ints_attribute};
use crate::parameter::Parameter;
use crate::{Flavor, operators, proto, site_operators};

/// The sites of a batch of boards.
#[derive(Debug)]
pub(crate) struct Sites {
    tokens: String,
    are_candidates: bool,
    /// int64 `[1]`: cells of a side.
    side: String,
    /// int64 `[6]`: `[0, bands, rows of a band, stacks, columns of a stack, digits]`; candidates only.
    board: Option<String>,
    /// bool `[batch, cells, digits]` of candidates, `[batch, cells, 1]` of cells.
    live: String,
    /// float32 `[batch, sites, 1]`: 1 where something lives.
    mask: String,
    /// The live sites alone, where states between entering and leaving are `[live, hidden_size]`.
    packed: Option<Packed>,
}

/// What operators on live sites read of a batch; see `models::LiveSites`.
#[derive(Debug)]
struct Packed {
    places: String,
    /// `rows`, `links`, and `units` of candidates.
    wires: Vec<String>,
}

/// The token of a blank; that of digit `d`, from 1, is `d + 1`.
const BLANK: i64 = 1;
/// Added to what does not live before a maximum is taken.
const MASKED: f64 = -1e4;
/// Axes of a board that a kind of unit is reduced over, one after the other: neighbouring axes are one to ONNX Runtime,
/// which is slow over others.
const UNIT_AXES: [&[&[i64]]; 4] = [&[&[5]], &[&[3, 4]], &[&[1, 2]], &[&[4], &[2]]];

impl Emitter {
    fn cast(&self, x: &str, to: i32) -> String {
        self.graph().node("", "Cast", &[x], vec![int_attribute("to", i64::from(to))])
    }

    fn reshape(&self, x: &str, shape: &str) -> String {
        self.plain("Reshape", &[x, shape])
    }

    fn reshape_to(&self, x: &str, shape: &[i64]) -> String {
        let shape = self.graph().int_constant(shape);
        self.reshape(x, &shape)
    }

    fn ints(&self, values: &[i64]) -> String {
        self.graph().int_constant(values)
    }

    fn concat(&self, parts: &[&str], axis: i64) -> String {
        self.graph().node("", "Concat", parts, vec![int_attribute("axis", axis)])
    }

    fn unsqueezed_last(&self, x: &str) -> String {
        let axes = self.ints(&[-1]);
        self.plain("Unsqueeze", &[x, &axes])
    }

    /// int64 `[1]`: tokens of a board, and the cells of its side.
    fn cells_and_side(&self, tokens: &Symbol) -> (String, String) {
        let attributes = vec![int_attribute("start", 1), int_attribute("end", 2)];
        let cells = self.graph().node("", "Shape", &[&tokens.name], attributes);
        let root = self.plain("Sqrt", &[&self.cast(&cells, proto::FLOAT)]);
        // A correctly rounded root of a square number is exact.
        let side = self.cast(&root, proto::INT64);
        (cells, side)
    }

    /// `[batch, sites, hidden_size]` states that all equal `init`, for the boards `tokens`.
    pub(crate) fn initial_site_state(&self, init: &Parameter, tokens: &Symbol, are_candidates: bool) -> Symbol {
        let (cells, side) = self.cells_and_side(tokens);
        let sites = if are_candidates { self.plain("Mul", &[&cells, &side]) } else { cells };
        let attributes = vec![int_attribute("start", 0), int_attribute("end", 1)];
        let batch = self.graph().node("", "Shape", &[&tokens.name], attributes);
        let width = self.ints(&[init.shape[0] as i64]);
        let shape = self.concat(&[&batch, &sites, &width], 0);
        let init_name = self.stored(init);
        Symbol { name: self.plain("Expand", &[&init_name, &shape]), row_shape: vec![tokens.width(), init.shape[0]] }
    }

    pub(crate) fn emit_candidates(&self, tokens: &Symbol) -> Sites {
        let (_, side) = self.cells_and_side(tokens);
        let root = self.plain("Sqrt", &[&self.cast(&side, proto::FLOAT)]);
        let box_rows = self.cast(&self.plain("Floor", &[&root]), proto::INT64);
        let box_columns = self.plain("Div", &[&side, &box_rows]);
        let batch = self.ints(&[0]);
        let board = self.concat(&[&batch, &box_columns, &box_rows, &box_rows, &box_columns, &side], 0);

        let given = self.plain("Equal", &[&self.unsqueezed_last(&tokens.name), &self.digits(&side)]);
        let given = self.cast(&given, proto::FLOAT);
        let given_board = self.reshape(&given, &board);
        let taken = UNIT_AXES.map(|axes| self.reduce("ReduceMax", &given_board, axes));
        let taken = self.plain("Max", &taken.each_ref().map(String::as_str));
        let rows = self.concat(&[&self.ints(&[0, -1]), &side], 0);
        let free = self.plain("Less", &[&self.reshape(&taken, &rows), &self.scalar(0.5)]);
        let blank = self.plain("Equal", &[&tokens.name, &self.graph_scalar(BLANK)]);
        let live = self.plain("And", &[&self.unsqueezed_last(&blank), &free]);
        let mask = self.reshape_to(&self.cast(&live, proto::FLOAT), &[0, -1, 1]);
        let packed = self.packed(site_operators::CANDIDATES, &[&tokens.name], 4);
        Sites { tokens: tokens.name.clone(), are_candidates: true, side, board: Some(board), live, mask, packed }
    }

    /// The live sites alone, where the flavor has operators for them.
    fn packed(&self, operator: &str, inputs: &[&str], outputs: usize) -> Option<Packed> {
        (self.flavor == Flavor::Kernels).then(|| {
            let mut graph = self.graph();
            let mut wires = graph.node_with_outputs(operators::DOMAIN, operator, inputs, Vec::new(), outputs);
            Packed { places: wires.remove(0), wires }
        })
    }

    /// A mixer of live sites, with `weights` as they are.
    fn mixed(&self, operator: &str, x: &Symbol, wires: &[String], weights: &[&Parameter], eps: f64) -> Symbol {
        let weights: Vec<String> = weights.iter().map(|weight| self.stored(weight)).collect();
        let inputs: Vec<&str> = std::iter::once(&x.name).chain(wires).chain(&weights).map(String::as_str).collect();
        let attributes = vec![float_attribute(operators::EPSILON, eps as f32)];
        let name = self.graph().node(operators::DOMAIN, operator, &inputs, attributes);
        Symbol { name, row_shape: x.row_shape.clone() }
    }

    /// A dense `[batch, sites, hidden_size]` value as the operations on sites take it.
    pub(crate) fn entered(&self, x: &Symbol, sites: &Sites) -> Symbol {
        let Some(packed) = &sites.packed else { return self.masked(x, sites) };
        let rows = self.reshape_to(&x.name, &[-1, x.width() as i64]);
        let name = self.graph().node("", "Gather", &[&rows, &packed.places], vec![int_attribute("axis", 0)]);
        Symbol { name, row_shape: x.row_shape.clone() }
    }

    /// Back to `[batch, sites, hidden_size]`. Where states are dense, every operation leaves zeros where nothing lives.
    pub(crate) fn left(&self, x: &Symbol, sites: &Sites) -> Symbol {
        let Some(packed) = &sites.packed else { return x.clone() };
        let inputs = [x.name.as_str(), &packed.places, &sites.mask];
        let name = self.graph().node(operators::DOMAIN, site_operators::LEAVE_SITES, &inputs, Vec::new());
        Symbol { name, row_shape: x.row_shape.clone() }
    }

    /// The SwiGLU of each live site with its residual norm; `None` where states are dense.
    pub(crate) fn packed_swiglu(
        &self,
        x: &Symbol,
        swiglu: &SwiGlu<Parameter>,
        sites: &Sites,
        eps: f64,
    ) -> Option<Symbol> {
        sites.packed.as_ref()?;
        let weights = [&swiglu.gate_up.weight, &swiglu.down.weight];
        Some(self.mixed(site_operators::SITE_SWIGLU, x, &[], &weights, eps))
    }

    pub(crate) fn emit_cells(&self, tokens: &Symbol, blocked: &[usize]) -> Sites {
        let (_, side) = self.cells_and_side(tokens);
        let is_blocked =
            blocked.iter().map(|&token| self.plain("Equal", &[&tokens.name, &self.graph_scalar(token as i64)]));
        let is_blocked = is_blocked.reduce(|left, right| self.plain("Or", &[&left, &right]));
        let is_blocked = is_blocked.unwrap_or_else(|| self.plain("Equal", &[&tokens.name, &self.graph_scalar(-1)]));
        let live = self.unsqueezed_last(&self.plain("Not", &[&is_blocked]));
        let mask = self.cast(&live, proto::FLOAT);
        let all: Vec<i64> = blocked.iter().map(|&token| token as i64).collect();
        let packed = self.packed(site_operators::CELLS, &[&tokens.name, &self.ints(&all)], 3);
        Sites { tokens: tokens.name.clone(), are_candidates: false, side, board: None, live, mask, packed }
    }

    fn graph_scalar(&self, value: i64) -> String {
        self.graph().int_scalar(value)
    }

    /// int64 `[digits]` tokens of the digits.
    fn digits(&self, side: &str) -> String {
        let first = self.graph_scalar(BLANK + 1);
        let axes = self.ints(&[0]);
        let count = self.plain("Squeeze", &[side, &axes]);
        let end = self.plain("Add", &[&count, &first]);
        self.plain("Range", &[&first, &end, &self.graph_scalar(1)])
    }

    /// Reduces over each group of axes in turn and keeps them as axes of length 1.
    fn reduce(&self, op_type: &str, x: &str, axes: &[&[i64]]) -> String {
        axes.iter().fold(x.to_owned(), |x, axes| match op_type {
            // Axes became an input of sums before they did of maxima.
            "ReduceSum" => self.plain(op_type, &[&x, &self.ints(axes)]),
            _ => self.graph().node("", op_type, &[&x], vec![ints_attribute("axes", axes)]),
        })
    }

    pub(crate) fn masked(&self, x: &Symbol, sites: &Sites) -> Symbol {
        Symbol { name: self.plain("Mul", &[&x.name, &sites.mask]), row_shape: x.row_shape.clone() }
    }

    pub(crate) fn emit_embedding(&self, table: &Parameter, sites: &Sites) -> Symbol {
        let stored = self.stored(table);
        let name = if sites.are_candidates {
            self.plain("Mul", &[&sites.mask, &stored])
        } else {
            let rows = self.graph().node("", "Gather", &[&stored, &sites.tokens], vec![int_attribute("axis", 0)]);
            self.plain("Mul", &[&rows, &sites.mask])
        };
        let dense = Symbol { name, row_shape: vec![1, table.shape[1]] };
        if sites.packed.is_some() { self.entered(&dense, sites) } else { dense }
    }

    /// The row of its board for each site, of `rows` `[batch, 1, width]`.
    pub(crate) fn emit_rows_of_boards(&self, rows: &Symbol, sites: &Sites) -> Symbol {
        let width = *rows.row_shape.last().expect("a row of the puzzle table has a width");
        let name = match &sites.packed {
            Some(packed) => {
                // A place counts all sites of the batch: its quotient by the sites of a board is the board.
                let attributes = vec![int_attribute("start", 1), int_attribute("end", 2)];
                let of_board = self.graph().node("", "Shape", &[&sites.mask], attributes);
                let boards = self.plain("Div", &[&packed.places, &of_board]);
                let rows = self.reshape_to(&rows.name, &[-1, width as i64]);
                self.graph().node("", "Gather", &[&rows, &boards], vec![int_attribute("axis", 0)])
            }
            None => self.plain("Mul", &[&rows.name, &sites.mask]),
        };
        Symbol { name, row_shape: vec![1, width] }
    }

    pub(crate) fn emit_units_mixing(
        &self,
        x: &Symbol,
        mixing: &UnitsMixing<Parameter>,
        sites: &Sites,
        eps: f64,
    ) -> Symbol {
        if let Some(packed) = &sites.packed {
            let weights = [&mixing.input.weight, &mixing.output.weight];
            return self.mixed(site_operators::UNITS_MIXING, x, &packed.wires, &weights, eps);
        }
        let (width, half) = (mixing.output.out_features, mixing.pool_size / 2);
        let board = sites.board.as_ref().expect("units are made of candidates");
        let channels = |count: usize| self.concat(&[board, &self.ints(&[count as i64])], 0);
        let sent = self.linear(x, &mixing.input).name;
        let sizes = self.ints(&[half as i64; 2 * UNIT_PARTS]);
        let attributes = vec![int_attribute("axis", -1)];
        let pieces = self.graph().node_with_outputs("", "Split", &[&sent, &sizes], attributes, 2 * UNIT_PARTS);
        let floor = self.plain("Mul", &[&self.plain("Sub", &[&sites.mask, &self.scalar(1.0)]), &self.scalar(-MASKED)]);
        let of_board = channels(half);
        let answers = (0..PART_OF_KIND.len()).map(|kind| {
            let part = PART_OF_KIND[kind];
            let sums = self.reduce("ReduceSum", &self.reshape(&pieces[2 * part], &of_board), UNIT_AXES[kind]);
            let sums = self.plain("Mul", &[&sums, &self.scalar(UNIT_SUM_SCALE)]);
            let floored = self.plain("Add", &[&pieces[2 * part + 1], &floor]);
            let maxima = self.reduce("ReduceMax", &self.reshape(&floored, &of_board), UNIT_AXES[kind]);
            let pooled = Symbol { name: self.concat(&[&sums, &maxima], -1), row_shape: vec![1, 2 * half] };
            let weight = &mixing.output.weight;
            self.project_columns(&pooled, &format!("{}_{part}_T", weight.name), weight, part * 2 * half, 2 * half).name
        });
        // A unit without live candidates answers from the floor; what it says is masked below.
        let delta = answers.reduce(|left, right| self.plain("Add", &[&left, &right])).expect("there are four kinds");
        let delta = Symbol { name: self.reshape_to(&delta, &[0, -1, width as i64]), row_shape: x.row_shape.clone() };
        self.masked(&self.residual_rms_norm(x, &delta, eps), sites)
    }

    pub(crate) fn emit_local_mixing(
        &self,
        x: &Symbol,
        mixing: &LocalMixing<Parameter>,
        sites: &Sites,
        eps: f64,
    ) -> Symbol {
        let LocalMixing { swiglu, stencil } = mixing;
        if let Some(packed) = &sites.packed {
            let weights = [&swiglu.gate_up.weight, &swiglu.down.weight, stencil];
            return self.mixed(site_operators::LOCAL_MIXING, x, &packed.wires, &weights, eps);
        }
        let (weight, inner) = (&swiglu.gate_up.weight, swiglu.down.in_features);
        let gate = self.project(x, &format!("{}_gate_T", weight.name), weight, 0, inner);
        let up = self.project(x, &format!("{}_up_T", weight.name), weight, inner, inner);
        let exchange = |x: &str| self.graph().node("", "Transpose", &[x], vec![ints_attribute("perm", &[0, 2, 1])]);
        let shape = self.concat(&[&self.ints(&[0, inner as i64]), &sites.side, &sites.side], 0);
        let planes = self.reshape(&exchange(&up.name), &shape);
        let kernel = self
            .graph()
            .float_constant(format!("{}_kernel", stencil.name), &[inner, 1, 3, 3], || stencil.values.clone());
        let attributes = vec![
            int_attribute("group", inner as i64),
            ints_attribute("kernel_shape", &[3, 3]),
            ints_attribute("pads", &[1, 1, 1, 1]),
        ];
        let seen = self.graph().node("", "Conv", &[&planes, &kernel], attributes);
        let seen = exchange(&self.reshape_to(&seen, &[0, inner as i64, -1]));
        let seen = Symbol { name: seen, row_shape: up.row_shape };
        let delta = self.linear(&self.silu_product(&gate, &seen), &swiglu.down);
        self.residual_rms_norm(x, &delta, eps)
    }

    pub(crate) fn emit_site_logits(&self, x: &Symbol, head: &Linear<Parameter>, sites: &Sites) -> Symbol {
        let said = self.linear(&self.left(x, sites), head);
        let tokens = self.unsqueezed_last(&sites.tokens);
        let certain = |values: &str| {
            let is_it = self.cast(&self.plain("Equal", &[&tokens, values]), proto::FLOAT);
            let spread = self.plain("Mul", &[&is_it, &self.scalar(2.0 * CERTAIN)]);
            self.plain("Sub", &[&spread, &self.scalar(CERTAIN)])
        };
        if !sites.are_candidates {
            let all: Vec<i64> = (0..head.out_features as i64).collect();
            let certain = certain(&self.ints(&all));
            return Symbol {
                name: self.plain("Where", &[&sites.live, &said.name, &certain]),
                row_shape: said.row_shape,
            };
        }
        let shape = self.concat(&[&self.ints(&[0, -1]), &sites.side], 0);
        let certain = certain(&self.digits(&sites.side));
        let digits = self.plain("Where", &[&sites.live, &self.reshape(&said.name, &shape), &certain]);
        // Neither padding nor a blank is an answer.
        let axes = vec![int_attribute("start", 0), int_attribute("end", 2)];
        let cells = self.graph().node("", "Shape", &[&sites.tokens], axes);
        let shape = self.concat(&[&cells, &self.ints(&[BLANK + 1])], 0);
        let neither = self.plain("Expand", &[&self.scalar(-CERTAIN), &shape]);
        Symbol { name: self.concat(&[&neither, &digits], -1), row_shape: vec![1, 1] }
    }

    pub(crate) fn emit_mean_site(&self, x: &Symbol, sites: &Sites) -> Symbol {
        let over_sites = |x: &str| {
            let axes = self.ints(&[1]);
            self.graph().node("", "ReduceSum", &[x, &axes], vec![int_attribute("keepdims", 0)])
        };
        let count = self.plain("Max", &[&over_sites(&sites.mask), &self.scalar(1.0)]);
        let dense = if sites.packed.is_some() { self.left(x, sites) } else { self.masked(x, sites) };
        let sum = over_sites(&dense.name);
        Symbol { name: self.plain("Div", &[&sum, &count]), row_shape: vec![x.width()] }
    }
}
