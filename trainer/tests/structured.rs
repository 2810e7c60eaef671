//! The structured mixers: fused operators against plain operations in float64, values and gradients, and the symmetries
//! of the board that their answers keep.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use datasets::maze::MazeOptions;
use datasets::sudoku::{GeneratorOptions, SudokuShape, Symmetry};
use models::{
    ArchitectureConfig, Backend, ForwardDtype, Mixer, Model, ModelDims, PosEncodings, QHeadInput, StepInputs,
};
use models::{SizeRange, TrmConfig};
use tch::{Device, Kind, Tensor};
use trainer::backend::{Activation, TchBackend, Weight};
use trainer::generator::Generator;
use trainer::parameters::Parameters;

const STEPS: usize = 3;

fn config(mixer: Mixer) -> TrmConfig {
    TrmConfig {
        mixer: Some(mixer),
        pool_size: 8,
        hidden_size: 24,
        expansion: 3.0,
        H_cycles: 2,
        L_cycles: 2,
        L_layers: 2,
        puzzle_emb_ndim: 0,
        pos_encodings: PosEncodings::None,
        q_head_input: QHeadInput::Mean,
        forward_dtype: ForwardDtype::Float32,
        ..TrmConfig::default()
    }
}

fn architectures(mixer: Mixer) -> [ArchitectureConfig; 3] {
    architectures_with(config(mixer))
}

fn architectures_with(config: TrmConfig) -> [ArchitectureConfig; 3] {
    [
        ArchitectureConfig::Trm(config.clone()),
        ArchitectureConfig::TrmSinglez(config.clone()),
        ArchitectureConfig::TrmHier6(config),
    ]
}

fn dims(vocab_size: usize, side: usize) -> ModelDims {
    let sizes = Some(SizeRange { least: side, greatest: side });
    ModelDims { vocab_size, seq_len: side * side, num_puzzle_identifiers: 1, sizes }
}

/// `[rows, seq_len]` inputs and labels.
struct Puzzles {
    inputs: Tensor,
    labels: Tensor,
    /// `[rows, 1, hidden_size]`, where the model has a puzzle table.
    embeddings: Option<Tensor>,
}

impl Puzzles {
    fn step_inputs(&self, backend: &TchBackend) -> StepInputs<Activation> {
        let embeddings = self.embeddings.as_ref().map(|rows| Activation(rows.to_kind(backend.kind())));
        StepInputs { tokens: Activation(self.inputs.shallow_clone()), puzzle_embeddings: embeddings }
    }
}

fn puzzles(generator: &Generator, rows: usize) -> Puzzles {
    let drawn = generator.held_out(rows).unwrap();
    let tensor = |tokens: Vec<i32>| Tensor::from_slice(&tokens).view([rows as i64, -1]).to_kind(Kind::Int64);
    Puzzles {
        inputs: tensor(drawn.iter().flat_map(|(input, _)| input.clone()).collect()),
        labels: tensor(drawn.iter().flat_map(|(_, label)| label.clone()).collect()),
        embeddings: None,
    }
}

/// With an embedding of its own for each puzzle, of the size that training gives them.
fn with_embeddings(puzzles: Puzzles) -> Puzzles {
    let (rows, width) = (puzzles.inputs.size()[0], 24);
    let steps = Tensor::arange(rows * width, (Kind::Double, Device::Cpu));
    let embeddings = (steps * 0.7).sin().view([rows, 1, width]) * 0.2;
    Puzzles { embeddings: Some(embeddings), ..puzzles }
}

fn sudoku(size: usize) -> Generator {
    Generator::Sudoku(GeneratorOptions { size, extra_clues: (0, 3), ..GeneratorOptions::default() })
}

fn maze(size: usize) -> Generator {
    Generator::Maze(MazeOptions {
        size,
        min_length: Some(datasets::maze::MinLength::Same(3)),
        ..MazeOptions::default()
    })
}

fn cases() -> Vec<(ArchitectureConfig, ModelDims, Puzzles)> {
    let units = architectures(Mixer::Units).into_iter().zip([4, 6, 9]);
    let units = units.map(|(arch, size)| (arch, dims(size + 2, size), puzzles(&sudoku(size), 3)));
    let local = architectures(Mixer::Local).into_iter().zip([5, 8, 11]);
    let local = local.map(|(arch, side)| (arch, dims(6, side), puzzles(&maze(side), 3)));
    let conditioned = architectures_with(TrmConfig { puzzle_emb_ndim: 20, puzzle_emb_len: 1, ..config(Mixer::Local) })
        .into_iter()
        .map(|arch| {
            (arch, ModelDims { num_puzzle_identifiers: 4, ..dims(6, 7) }, with_embeddings(puzzles(&maze(7), 3)))
        });
    units.chain(local).chain(conditioned).collect()
}

/// Logits of every step, final states, and the gradient of all weights and puzzle embeddings, in float64.
struct Found {
    logits: Vec<Tensor>,
    q_halt: Vec<Tensor>,
    states: Vec<Tensor>,
    gradient: Tensor,
}

fn initial_states(
    backend: &TchBackend,
    model: &Model<Weight>,
    arch: &ArchitectureConfig,
    inputs: &Tensor,
) -> Vec<Activation> {
    let (rows, seq_len) = inputs.size2().unwrap();
    let size = [rows, arch.state_tokens(seq_len as usize) as i64, arch.hidden_size() as i64];
    let zeros: Vec<Activation> =
        model.state_names().iter().map(|_| Activation(Tensor::zeros(size, (backend.kind(), Device::Cpu)))).collect();
    model.reset_state(backend, &Activation(Tensor::ones([rows], (Kind::Bool, Device::Cpu))), &zeros)
}

fn run(backend: &TchBackend, arch: &ArchitectureConfig, dims: &ModelDims, puzzles: &Puzzles) -> Found {
    let parameters = Parameters::initialised(arch, dims, Device::Cpu, 7).unwrap();
    let model = parameters.model(arch, dims).unwrap();
    let rows = puzzles.embeddings.as_ref().map(|rows| rows.copy().set_requires_grad(true));
    let puzzles = &Puzzles {
        inputs: puzzles.inputs.shallow_clone(),
        labels: puzzles.labels.shallow_clone(),
        embeddings: rows.as_ref().map(Tensor::shallow_clone),
    };
    let inputs = puzzles.step_inputs(backend);
    let mut states = initial_states(backend, &model, arch, &puzzles.inputs);
    let (mut logits, mut q_halt) = (Vec::new(), Vec::new());
    let mut loss = Tensor::from(0.0_f64);
    for _ in 0..STEPS {
        let output = model.step(backend, &inputs, &states);
        let classes = *output.logits.0.size().last().unwrap();
        loss += output
            .logits
            .0
            .to_kind(Kind::Double)
            .view([-1, classes])
            .cross_entropy_for_logits(&puzzles.labels.view(-1));
        loss += output.q_halt.0.to_kind(Kind::Double).sum(Kind::Double);
        logits.push(output.logits.0.detach().to_kind(Kind::Double));
        q_halt.push(output.q_halt.0.detach().to_kind(Kind::Double));
        states = output.state;
    }
    loss.backward();
    let states = states.into_iter().map(|state| state.0.detach().to_kind(Kind::Double)).collect();
    let of_weights = parameters.flat_gradient().to_kind(Kind::Double);
    let of_rows = rows.map(|rows| rows.grad().view(-1));
    let gradient = Tensor::cat(&std::iter::once(of_weights).chain(of_rows).collect::<Vec<_>>(), 0);
    Found { logits, q_halt, states, gradient }
}

fn distance(left: &Tensor, right: &Tensor) -> f64 {
    (left - right).abs().max().double_value(&[])
}

/// Error of float32 in either path, measured against float64 over all cases: below 4e-6 for values; gradients are up to
/// 60 and within 3e-5 of their largest.
#[test]
fn fused_operators_compute_what_plain_ones_do() {
    for (arch, dims, puzzles) in cases() {
        let exact = run(&TchBackend::float64(), &arch, &dims, &puzzles);
        let largest = exact.gradient.abs().max().double_value(&[]);
        for (name, backend) in
            [("plain", TchBackend::plain(ForwardDtype::Float32)), ("fused", TchBackend::new(ForwardDtype::Float32))]
        {
            let found = run(&backend, &arch, &dims, &puzzles);
            for step in 0..STEPS {
                let logits = distance(&found.logits[step], &exact.logits[step]);
                let q_halt = distance(&found.q_halt[step], &exact.q_halt[step]);
                eprintln!("{} {name} step {step}: logits {logits:.1e} q {q_halt:.1e}", arch.name());
                assert!(logits < 2e-5 && q_halt < 2e-5, "{} {name} step {step}: {logits} {q_halt}", arch.name());
            }
            for (index, (found, exact)) in found.states.iter().zip(&exact.states).enumerate() {
                let error = distance(found, exact);
                assert!(error < 2e-5, "{} {name} state {index}: {error}", arch.name());
            }
            let error = distance(&found.gradient, &exact.gradient) / largest;
            eprintln!("{} {name}: gradient up to {largest:.1e}, off by {error:.1e} of it", arch.name());
            assert!(error < 1e-4, "{} {name}: the gradient is off by {error} of its largest", arch.name());
        }
    }
}

fn answers(arch: &ArchitectureConfig, dims: &ModelDims, inputs: &Tensor) -> Tensor {
    let backend = TchBackend::float64();
    let parameters = Parameters::initialised(arch, dims, Device::Cpu, 11).unwrap();
    let model = parameters.model(arch, dims).unwrap();
    let mut states = initial_states(&backend, &model, arch, inputs);
    let inputs = StepInputs { tokens: Activation(inputs.shallow_clone()), puzzle_embeddings: None };
    backend.no_grad(|| {
        let mut logits = None;
        for _ in 0..STEPS {
            let output = model.step(&backend, &inputs, &states);
            states = output.state;
            logits = Some(output.logits.0);
        }
        logits.unwrap()
    })
}

/// Digits, rows in their bands, bands, columns, stacks and transposition: what is done to the puzzle is done to the answer.
#[test]
fn units_commute_with_the_symmetries_of_sudoku() {
    let arch = ArchitectureConfig::Trm(config(Mixer::Units));
    for shape in [SudokuShape::FOUR, SudokuShape::SIX, SudokuShape::NINE] {
        let dims = dims(shape.vocab_size(), shape.size());
        let drawn = sudoku(shape.size()).held_out(2).unwrap();
        for (puzzle, _) in &drawn {
            for number in 0..6 {
                let symmetry = Symmetry::numbered(shape, 3, number);
                let rows = |tokens: Vec<i32>| Tensor::from_slice(&tokens).view([1, -1]).to_kind(Kind::Int64);
                let plain = answers(&arch, &dims, &rows(puzzle.clone()));
                let seen = answers(&arch, &dims, &rows(symmetry.apply_to_tokens(puzzle)));
                // The logit of a digit in a cell lies where the symmetry takes both.
                for digit in 1..=shape.size() as i64 {
                    for cell in 0..shape.cells() as i64 {
                        let mut marked = vec![1_i32; shape.cells()];
                        marked[cell as usize] = digit as i32 + 1;
                        let moved = symmetry.apply_to_tokens(&marked);
                        let to = moved.iter().position(|&token| token != 1).unwrap() as i64;
                        let (left, right) = (
                            plain.double_value(&[0, cell, digit + 1]),
                            seen.double_value(&[0, to, i64::from(moved[to as usize])]),
                        );
                        assert!((left - right).abs() < 1e-9, "{}: {left} and {right}", shape.size());
                    }
                }
            }
        }
    }
}

/// A maze inside of more wall, anywhere, gets the same answer.
#[test]
fn local_mixing_does_not_see_how_much_wall_there_is() {
    let arch = ArchitectureConfig::Trm(config(Mixer::Local));
    let (side, large) = (7_i64, 12_i64);
    let maze = puzzles(&maze(side as usize), 2).inputs;
    let plain = answers(&arch, &dims(6, side as usize), &maze).view([2, side, side, 6]);
    for (row, column) in [(0, 0), (5, 0), (2, 4)] {
        let walled = Tensor::ones([2, large, large], (Kind::Int64, Device::Cpu));
        walled.narrow(1, row, side).narrow(2, column, side).copy_(&maze.view([2, side, side]));
        let found = answers(&arch, &dims(6, large as usize), &walled.view([2, -1])).view([2, large, large, 6]);
        let inside = found.narrow(1, row, side).narrow(2, column, side);
        let error = distance(&inside, &plain);
        assert!(error < 1e-9, "at {row}, {column}: {error}");
    }
}

/// The head reads the answer alone: it changes no other output, and its own targets reach the mixer's weights.
#[test]
fn a_head_for_moves_leaves_the_answer_as_it_is() {
    let dims = dims(6, 8);
    let puzzles = puzzles(&maze(8), 3);
    let plain = config(Mixer::Local);
    let with_head = TrmConfig { move_head: true, ..plain.clone() };
    let outputs = |config: TrmConfig| {
        let arch = ArchitectureConfig::Trm(config);
        let parameters = Parameters::initialised(&arch, &dims, Device::Cpu, 7).unwrap();
        let backend = TchBackend::new(ForwardDtype::Float32);
        let model = parameters.model(&arch, &dims).unwrap();
        let inputs = StepInputs { tokens: Activation(puzzles.inputs.shallow_clone()), puzzle_embeddings: None };
        let states = initial_states(&backend, &model, &arch, &puzzles.inputs);
        let output = model.step(&backend, &inputs, &states);
        let moves = output.moves.map(|moves| {
            moves.0.square().sum(Kind::Float).backward();
            (moves.0.size(), parameters.flat_gradient().abs().sum(Kind::Double).double_value(&[]))
        });
        (output.logits.0, moves)
    };
    let (logits, moves) = outputs(plain);
    let (same, some) = outputs(with_head.clone());
    assert!(moves.is_none() && distance(&logits, &same) == 0.0);
    let (size, gradient) = some.unwrap();
    assert_eq!(size, [3, 64, 4]);
    assert!(gradient > 0.0);
    let elsewhere = TrmConfig { move_head: true, ..config(Mixer::Units) };
    let refused = ArchitectureConfig::Trm(elsewhere).validate(&self::dims(6, 4)).unwrap_err().to_string();
    assert!(refused.contains("move_head"), "{refused}");
}

/// The embedding decides the answer to one and the same puzzle, zeros are not an embedding, and the embedding of one
/// puzzle reaches no other of the batch.
#[test]
fn a_puzzle_embedding_conditions_the_cells_of_its_own_board() {
    let plain = ArchitectureConfig::Trm(config(Mixer::Local));
    let arch = ArchitectureConfig::Trm(TrmConfig { puzzle_emb_ndim: 24, puzzle_emb_len: 1, ..config(Mixer::Local) });
    let (dims, mazes) = (ModelDims { num_puzzle_identifiers: 4, ..dims(6, 7) }, with_embeddings(puzzles(&maze(7), 3)));
    let logits = |arch: &ArchitectureConfig, embeddings: Option<Tensor>| {
        let puzzles =
            Puzzles { embeddings, inputs: mazes.inputs.shallow_clone(), labels: mazes.labels.shallow_clone() };
        run(&TchBackend::float64(), arch, &dims, &puzzles).logits.remove(STEPS - 1)
    };
    let own = mazes.embeddings.as_ref().unwrap();
    let found = logits(&arch, Some(own.shallow_clone()));
    assert!(distance(&logits(&arch, Some(own.zeros_like())), &logits(&plain, None)) == 0.0);
    let changed = own.copy();
    let _ = changed.get(1).fill_(0.3);
    let other = logits(&arch, Some(changed));
    for row in 0..3 {
        let moved = distance(&other.get(row), &found.get(row));
        assert!(if row == 1 { moved > 1e-3 } else { moved == 0.0 }, "row {row} moves by {moved}");
    }
    let wide = TrmConfig { puzzle_emb_ndim: 48, puzzle_emb_len: 2, ..config(Mixer::Local) };
    let refused = ArchitectureConfig::Trm(wide).validate(&dims).unwrap_err().to_string();
    assert!(refused.contains("puzzle_emb_len"), "{refused}");
}
